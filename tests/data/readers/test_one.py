from __future__ import annotations

import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from torch_brain.data import Data

from neuroduet.cli import main
from neuroduet.data.readers.one import (
    index_sessions,
    locate_session,
    newest_revisions,
    open_one,
    session_id,
    session_ids,
)
from neuroduet.data.recording import load
from neuroduet.data.writers.alf import AlfLayout, write_alf
from neuroduet.errors import UserError
from neuroduet.simulate.session import draw_session, to_recording

ABSENT = "03d9a098-07bf-4765-88b7-85f8d8f620cc"


@pytest.fixture(scope="module")
def simulated() -> Data:
    return to_recording(draw_session(seed=5, index=0, size="tiny", nonlinear=1.0))


@pytest.fixture(scope="module")
def tree(
    simulated: Data, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[str, ...]]:
    """ONE's folder with two sessions, and their ids."""
    pytest.importorskip("one", reason="ONE-api is not installed")
    root = tmp_path_factory.mktemp("one")
    for number in (1, 2):
        write_alf(simulated, root, AlfLayout(number=number, revision="2024-05-06"))
    return root, index_sessions(root)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a test asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_session_by_its_id_is_the_one_that_was_written(
    simulated: Data, tree: tuple[Path, tuple[str, ...]], tmp_path: Path
) -> None:
    root, ids = tree
    assert len(ids) == 2
    assert main(["ingest", str(root), str(tmp_path / "out"), "--one", ids[0]]) == 0
    with load(tmp_path / "out" / f"{ids[0]}.h5") as recording:
        assert recording.session.id == ids[0]
        assert recording.subject.id == "animal00"
        np.testing.assert_array_equal(recording.spikes.timestamps, simulated.spikes.timestamps)
        np.testing.assert_array_equal(recording.trials.choice, simulated.trials.choice)


def test_a_set_in_a_file_reads_what_is_there_and_lists_what_is_not(
    tree: tuple[Path, tuple[str, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, ids = tree
    (tmp_path / "mine.txt").write_text("# mine\n" + "\n".join([*ids, ABSENT, ids[0]]) + "\n")
    code = main(["ingest", str(root), str(tmp_path), "--one-set", str(tmp_path / "mine.txt")])
    captured = capsys.readouterr()
    assert code == 2
    assert {file.stem for file in tmp_path.glob("*.h5")} == set(ids)
    assert "2 sessions written" in captured.out
    assert f"failed: session {ABSENT} is not among those" in captured.err


def test_locating_says_nothing_about_revisions_or_hashes(
    tree: tuple[Path, tuple[str, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    root, ids = tree
    folder = locate_session(open_one(root), ids[1])
    assert (folder / "alf").is_dir()
    assert not caplog.records


def test_only_the_newest_revision_of_what_is_needed_is_fetched() -> None:
    names = [
        "alf/probe00/#2024-05-06#/spikes.times.npy",
        "alf/probe00/#2022-01-01#/spikes.times.npy",
        "alf/probe00/spikes.times.npy",
        "alf/probe01/spikes.times.0a0a.npy",
        "alf/_ibl_trials.table.pqt",
        "raw_video_data/_iblrig_leftCamera.raw.mp4",
        "alf/probe00/spikes.amps.npy",
    ]
    assert newest_revisions(names) == [
        "alf/_ibl_trials.table.pqt",
        "alf/probe00/#2024-05-06#/spikes.times.npy",
        "alf/probe01/spikes.times.0a0a.npy",
    ]


def test_the_sets_of_the_papers_have_their_size_and_do_not_overlap() -> None:
    sizes = {"neds": 84, "neds-train": 74, "neds-test": 10, "mtm": 40, "mtm-train": 35}
    for name, size in {**sizes, "mtm-test": 5}.items():
        ids = session_ids(name)
        assert len(set(ids)) == size
        assert all(session_id(one) == one for one in ids)
    for paper in ("neds", "mtm"):
        assert not set(session_ids(f"{paper}-train")) & set(session_ids(f"{paper}-test"))
    first = [one.split("-")[0] for one in session_ids("neds-test")[:3]]
    assert first == ["d23a44ef", "db4df448", "3638d102"]
    assert session_ids("mtm-test")[2] == ABSENT


def test_wrong_ids_sets_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no session id, expected a UUID"):
        session_id("KS023/2019-12-10/001")
    with pytest.raises(UserError, match="did you mean 'neds-train'"):
        session_ids("neds-trian")
    (tmp_path / "empty.txt").write_text("# none\n\n")
    with pytest.raises(UserError, match="holds no session ids"):
        session_ids(str(tmp_path / "empty.txt"))
    with pytest.raises(UserError, match=r"has no sessions\.pqt"):
        open_one(tmp_path)


def test_without_one_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "one.api", None)
    with pytest.raises(UserError, match="pip install ONE-api"):
        open_one(tmp_path)


def test_downloading_must_be_asked_for_by_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", str(tmp_path), str(tmp_path / "out"), "--remote"]) == 2
    assert "add --one or --one-set" in capsys.readouterr().err
