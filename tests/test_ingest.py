from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_brain.data import Data

from neuroduet.cli import main
from neuroduet.data.readers import READERS, reader_of
from neuroduet.data.readers.alf import AlfReader
from neuroduet.data.readers.reader import ReadOptions
from neuroduet.data.recording import check, load
from neuroduet.data.writers.alf import AlfLayout, write_alf
from neuroduet.errors import UserError
from neuroduet.ingest import choose_reader, ingest, plan
from neuroduet.simulate.session import draw_session, to_recording


@pytest.fixture(scope="module")
def simulated() -> Data:
    return to_recording(draw_session(seed=7, index=0, size="tiny", nonlinear=1.0))


@pytest.fixture
def tree(simulated: Data, tmp_path: Path) -> Path:
    """Three sessions of one animal, the second of which is damaged."""
    root = tmp_path / "tree"
    for number in (1, 2, 3):
        session = write_alf(simulated, root, AlfLayout(number=number))
        if number == 2:
            path = session / "alf/probe01/iblsorter/spikes.times.npy"
            path.write_bytes(path.read_bytes()[:500])
    return root


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


GOOD = ["animal00-2024-01-01-001.h5", "animal00-2024-01-01-003.h5"]


def test_good_sessions_are_written_and_bad_ones_listed_at_the_end(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["ingest", str(tree), str(out)]) == 2
    captured = capsys.readouterr()
    assert names(out) == GOOD
    assert "2 sessions written" in captured.out
    assert captured.out.endswith(f"next: neuroduet inspect {out}\n")
    assert captured.err.strip().splitlines()[-1].startswith("failed: ")
    assert "spikes.times.npy" in captured.err
    for name in GOOD:
        with load(out / name) as recording:
            check(recording)


def test_what_is_there_is_left_alone_unless_asked_for(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = plan({tree: None}, out, ReadOptions())
    assert [one.status for one in ingest(jobs)] == ["written", "failed", "written"]
    stamps = [(out / name).stat().st_mtime_ns for name in GOOD]
    assert [one.status for one in ingest(jobs)] == ["there", "failed", "there"]
    assert [(out / name).stat().st_mtime_ns for name in GOOD] == stamps
    again = plan({tree: None}, out, ReadOptions(), again=True)
    assert [one.status for one in ingest(again)] == ["written", "failed", "written"]
    assert [(out / name).stat().st_mtime_ns for name in GOOD] != stamps


def counts(folder: Path, **more: str) -> list[str]:
    """Words that ingest counts with a mapping file."""
    np.savez(folder / "a.npz", x=np.ones((9, 10, 4), dtype=int), side=np.arange(9) % 2)
    lines = {"bin_size_s": "0.02", "counts": "x", **more}
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    (folder / "map.yaml").write_text(text)
    return ["ingest", str(folder / "a.npz"), str(folder / "out"), "--mapping",
            str(folder / "map.yaml")]  # fmt: skip


def test_a_recording_that_was_made_with_other_options_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(counts(tmp_path)) == 0
    capsys.readouterr()
    assert main(counts(tmp_path)) == 0
    assert capsys.readouterr().err == ""
    words = [*counts(tmp_path, behaviours="{side: side}"), "--min-rate", "1"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert "1 session already there" in said.out
    file = tmp_path / "out" / "a.h5"
    assert said.err == (
        f"{file} was made with another --mapping, --min-rate; --again makes it anew\n"
    )
    assert main([*words, "--json"]) == 0
    (outcome,) = json.loads(capsys.readouterr().out)
    assert outcome["differs"] == ["mapping", "min_rate_hz"]
    assert main([*words, "--again"]) == 0
    assert main(words) == 0
    assert capsys.readouterr().err == ""


def test_of_a_recording_that_does_not_say_how_it_was_made_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    assert main(counts(tmp_path)) == 0
    for note in ("[1]", "no json", None):
        with h5py.File(tmp_path / "out" / "a.h5", "a") as file:
            del file.attrs["ingested_with"]
            if note is not None:
                file.attrs["ingested_with"] = note
        capsys.readouterr()
        assert main([*counts(tmp_path), "--min-rate", "1"]) == 0
        said = capsys.readouterr()
        assert "already there" in said.out
        assert said.err == ""


def test_a_missing_mapping_file_is_refused_even_where_nothing_would_be_read(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ingest", str(tree), str(tmp_path / "out")]
    main(words)
    capsys.readouterr()
    assert main([*words, "--mapping", str(tmp_path / "nope")]) == 2
    assert f"there is no mapping file {tmp_path / 'nope'}" in capsys.readouterr().err


def test_a_check_prints_what_is_there_and_writes_nothing(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    main(["ingest", str(tree / "lab/Subjects/animal00/2024-01-01/001"), str(out), "--check"])
    said = capsys.readouterr().out
    assert "2 probes" in said or "probe00 (iblsorter), probe01 (iblsorter)" in said
    assert "licks" in said
    assert "missing" in said
    assert "nothing written" in said
    assert not out.exists()


def test_the_answer_as_json_holds_everything(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ingest", str(tree), str(tmp_path / "out"), "--alf", "--check", "--json"])
    outcomes = json.loads(capsys.readouterr().out)
    assert [one["status"] for one in outcomes] == ["found", "failed", "found"]
    assert outcomes[0]["found"]["items"]["trials"] == "60 kept"
    assert outcomes[1]["found"] is None


@pytest.mark.slow
@pytest.mark.usefixtures("only_ray")
def test_workers_write_the_same_as_one_process(
    simulated: Data, tree: Path, tmp_path: Path
) -> None:
    alone = ingest(plan({tree: None}, tmp_path / "alone", ReadOptions()))
    together = ingest(plan({tree: None}, tmp_path / "together", ReadOptions()), workers=2)
    assert [one.status for one in together] == [one.status for one in alone]
    for name in GOOD:
        with load(tmp_path / "alone" / name) as one, load(tmp_path / "together" / name) as two:
            np.testing.assert_array_equal(one.spikes.timestamps, two.spikes.timestamps)
            np.testing.assert_array_equal(one.trials.start, simulated.trials.start)
            np.testing.assert_array_equal(two.wheel.wheel_speed, one.wheel.wheel_speed)


def test_nothing_half_written_remains_when_writing_fails(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: Data, file: Any) -> None:
        file.create_group("spikes")
        raise OSError("no space left on device")

    monkeypatch.setattr(Data, "to_hdf5", stop)
    outcomes = ingest(plan({tree: None}, tmp_path / "out", ReadOptions()))
    assert {one.status for one in outcomes} == {"failed"}
    assert "no space left" in outcomes[0].why
    assert not (tmp_path / "out").exists()


def test_folders_made_for_nothing_are_removed_and_others_stay(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: AlfReader, path: Path, options: ReadOptions) -> Data:
        raise UserError("stopped")

    monkeypatch.setattr(AlfReader, "read", stop)
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "there", tmp_path / "new" / "deep"):
        assert main(["ingest", str(tree), str(out)]) == 2
    assert names(tmp_path) == ["there", "tree"]


def test_an_empty_folder_is_called_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    assert main(["ingest", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "is empty" in capsys.readouterr().err
    assert names(tmp_path) == ["none"]


def test_an_unforeseen_error_fails_one_session_only(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = AlfReader.read

    def sometimes(self: AlfReader, path: Path, options: ReadOptions) -> Data:
        if path.name == "001":
            raise KeyError("surprise")
        return read(self, path, options)

    monkeypatch.setattr(AlfReader, "read", sometimes)
    outcomes = ingest(plan({tree: None}, tmp_path / "out", ReadOptions()))
    assert [one.status for one in outcomes] == ["failed", "failed", "written"]
    assert "KeyError" in outcomes[0].why


def test_two_sessions_of_one_name_are_refused_before_anything_is_written(
    simulated: Data, tmp_path: Path
) -> None:
    for lab in ("first", "second"):
        write_alf(simulated, tmp_path / "tree", AlfLayout(lab=lab))
    jobs = plan({tmp_path / "tree": None}, tmp_path / "out", ReadOptions())
    with pytest.raises(UserError, match="would both become the recording"):
        ingest(jobs)
    assert not (tmp_path / "out").exists()


def test_one_name_for_several_sessions_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="3 sessions cannot all be named 'mine'"):
        plan({tree: None}, tmp_path, ReadOptions(session_id="mine"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--regions", "bery"], "did you mean 'beryl'"),
        (["--trials", "all"], "known: none, neds, mtm"),
        (["--camera", "top"], "known: left, right, body"),
        (["--min-label", "3"], "min_unit_label is 3"),
        (["--alf", "--nwb"], "--alf and --nwb name several formats"),
        (["--nwb"], "looks like alf, not like nwb; write --alf instead of --nwb"),
        (["--one", "abc"], "no session id"),
    ],
)
def test_wrong_words_are_answered_in_one_sentence(
    words: list[str], sentence: str, tree: Path, tmp_path: Path, capsys: Any
) -> None:
    assert main(["ingest", str(tree), str(tmp_path / "out"), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.strip().splitlines()) == 1


def test_a_source_is_recognised_or_the_formats_are_listed(tree: Path, tmp_path: Path) -> None:
    assert choose_reader(tree).name == "alf"
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("hello")
    with pytest.raises(UserError, match=r"looks like no known format, expected .*NWB \(\.nwb\)"):
        choose_reader(tmp_path / "notes")
    with pytest.raises(UserError, match="nothing at"):
        choose_reader(tmp_path / "nowhere")
    with pytest.raises(UserError, match="unknown format 'alff'"):
        choose_reader(tree, "alff")
    with pytest.raises(UserError, match="is an address.*--nwb"):
        choose_reader(Path("https://example.org/1.nwb"))


def test_of_several_formats_a_file_of_each_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    (tmp_path / "c.nwb").write_bytes(b"")
    said = r"nwb \(c\.nwb\) and npz \(a\.npz and 1 more\), .* \(--nwb, --npz\), or give the file"
    with pytest.raises(UserError, match=said):
        choose_reader(tmp_path)
    with pytest.raises(UserError, match=r"c\.nwb looks like nwb, not like alf"):
        choose_reader(tmp_path / "c.nwb", "alf")
    assert choose_reader(tmp_path, "npz").name == "npz"


def test_what_a_reader_warns_of_is_logged_with_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spikes = np.sort(np.random.default_rng(0).uniform(0, 90_000, 500))
    mapping = tmp_path / "map.yaml"
    np.savez(tmp_path / "a.npz", t=spikes, u=np.arange(500) % 4, on=np.arange(9) * 10.0,
             off=np.arange(9) * 10.0 + 5)  # fmt: skip
    mapping.write_text("spikes: {times: t, units: u}\ntrials: {start: 'on', end: 'off'}\n")
    reader_of("npz").read(tmp_path / "a.npz", ReadOptions(mapping=mapping))
    (said,) = caplog.messages
    assert said.startswith(f"{tmp_path / 'a.npz'}: recording 'a': spikes run from")
    assert "as if the times of spikes were in milliseconds" in said


def test_every_reader_is_known_by_its_own_name() -> None:
    assert {name: reader.name for name, reader in READERS.items()} == {n: n for n in READERS}
