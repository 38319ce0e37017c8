"""Names from files become parts of paths only inside the output folder, and never meet there."""

from __future__ import annotations

import zipfile
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hostile_names import EVERY, ODD, PATHS
from hypothesis import given
from hypothesis import strategies as st
from specimens import MAPPING, binned_recording, small_recording

from neuroduet.config import BehaviourConfig, Config
from neuroduet.data.recording import find_recordings, load, save
from neuroduet.data.schema import check
from neuroduet.data.writers.prediction_files import PREDICTION_WRITERS
from neuroduet.data.writers.predictions import PredictedSeries, PredictedSession
from neuroduet.errors import UserError
from neuroduet.ingest import ingest, plan
from neuroduet.plain import LONGEST_NAME, file_name, plain_name, printable
from neuroduet.tasks.export import new_file_name


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder deep enough that a step up would be seen."""
    folder = tmp_path / "a" / "b" / "out"
    folder.mkdir(parents=True)
    return folder


def outside(out: Path) -> list[Path]:
    """What lies beside the output folder, and should not."""
    root = out.parents[1]
    return [path for path in root.rglob("*") if path.is_file() and out not in path.parents]


@pytest.mark.parametrize("name", [name for name in EVERY if name])
def test_a_recording_is_saved_under_its_name_inside_or_not_at_all(out: Path, name: str) -> None:
    with suppress(UserError):
        recording = small_recording(name)
        save(recording, out / f"{recording.session.id}.h5")
        assert [path.stem for path in find_recordings(out)] == [name]
    assert outside(out) == []


@pytest.mark.parametrize("name", EVERY)
def test_an_ingested_session_is_written_inside_or_fails_in_one_sentence(
    out: Path, tmp_path: Path, name: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    draw = np.random.default_rng(0)
    np.savez(source / "day.npz", x=draw.poisson(2.0, (6, 10, 4)))
    mapping = {"session": name, "bin_size_s": 0.02, "counts": "x", "subject": name}
    (source / "map.yaml").write_text(yaml.safe_dump(mapping))
    from neuroduet.data.readers.reader import ReadOptions

    options = ReadOptions(mapping=source / "map.yaml")
    (outcome,) = ingest(plan({source / "day.npz": None}, out, options, reader="npz"))
    written = [path.name for path in out.rglob("*")]
    if outcome.status == "written":
        assert written == [f"{outcome.session}.h5"]
    else:
        assert (outcome.status, written) == ("failed", [])
        assert outcome.why.isprintable()
    assert [path for path in outside(out) if path.parent != source] == []


@pytest.mark.parametrize("name", [*PATHS, "new\nline", "nul\0byte", "x" * 5000])
def test_a_recording_of_others_with_such_an_id_is_refused(tmp_path: Path, name: str) -> None:
    """The file exists already, so that no writer of ours could refuse it."""
    path = tmp_path / "s1.h5"
    save(small_recording(), path)
    with h5py.File(path, "a") as file:
        file["session"].attrs["id"] = name.replace("\0", "\\")
    with load(path) as recording, pytest.raises(UserError, match="it names a file"):
        check(recording)


@pytest.mark.parametrize("name", [*PATHS[:7], "new\nline", "x" * 5000])
def test_an_animal_cannot_lead_out_of_a_tree_of_sessions(out: Path, name: str) -> None:
    from neuroduet.data.arrays import from_arrays
    from neuroduet.data.writers.alf import write_alf

    recording = from_arrays(
        session_id="s1", subject_id=name, spike_times=[0.1, 0.2], spike_units=[0, 1]
    )
    with pytest.raises(UserError, match="cannot name a folder"):
        write_alf(recording, out)
    assert outside(out) == []
    assert list(out.rglob("*")) == []


@pytest.mark.parametrize("name", EVERY)
def test_a_behaviour_has_a_plain_name_or_none(name: str) -> None:
    try:
        plain_name(name)
    except ValueError:
        with pytest.raises(ValueError, match="part of file names"):
            BehaviourConfig(name=name, source="a.b", kind="continuous", per="bin")
    else:
        BehaviourConfig(name=name, source="a.b", kind="continuous", per="bin")
        assert Path("out", f"{name}.npz").parent == Path("out")
        assert "\\" not in name


def test_a_table_of_behaviours_cannot_name_paths(tmp_path: Path) -> None:
    path = tmp_path / "s1.h5"
    save(binned_recording(), path)
    with h5py.File(path, "a") as file:
        names = file["behaviours/name"][:]
        del file["behaviours/name"]
        file["behaviours/name"] = np.array([b"../../x", *names[1:]])
    with load(path) as recording, pytest.raises(UserError, match=r"behaviours.name holds '\.\./"):
        check(recording)


@given(st.one_of(st.text(max_size=300), st.sampled_from(EVERY)))
def test_a_file_name_is_one_short_part_of_a_path(name: str) -> None:
    made = file_name(name)
    assert Path("out", f"{made}.npz").resolve().parent == Path("out").resolve()
    assert made.isascii()
    assert made.isprintable()
    assert 0 < len(made) <= LONGEST_NAME + 9
    assert made[0] != "."
    assert made.split(".")[0].upper() not in {"CON", "NUL", "PRN", "AUX", "COM1", "LPT1"}


@given(st.lists(st.one_of(st.text(max_size=9), st.sampled_from(EVERY)), unique=True, max_size=9))
def test_two_sessions_never_share_a_file(names: list[str]) -> None:
    taken: list[str] = []
    for name in names:
        try:
            taken.append(new_file_name(name, taken).lower())
        except UserError:
            assert file_name(name).lower() in taken
    assert len(set(taken)) == len(taken)


def test_a_session_named_like_the_mark_of_another_is_refused() -> None:
    first = file_name("../a")
    with pytest.raises(UserError, match="would replace the file"):
        new_file_name(first, [first])
    with pytest.raises(UserError, match="would replace the file"):
        new_file_name("Mouse", ["mouse"])


@pytest.mark.parametrize("to", PREDICTION_WRITERS)
def test_exported_files_stay_in_their_folder(out: Path, to: str) -> None:
    if to == "nwb":
        pytest.importorskip("pynwb", reason="NWB files are written by pynwb")
    for number, name in enumerate((*PATHS, *ODD)[:: 4 if to == "nwb" else 1]):
        series = PredictedSeries(
            name="choice",
            kind="classes",
            times_s=np.arange(4.0),
            values=np.full((4, 2), 0.5),
            columns=(printable(f"{name}-{number}"), "b"),
            unit="probability",
        )
        said = PredictedSession(
            session=printable(name) or "x", subject=printable(name) or "x", series=(series,)
        )
        files = PREDICTION_WRITERS[to](said, out, file_name(name))
        assert all(out in path.parents for path in files)
    assert outside(out) == []


def test_behaviours_named_like_other_predictions_are_exported_apart(tmp_path: Path) -> None:
    from neuroduet.data.arrays import from_arrays
    from neuroduet.data.session import open_sessions
    from neuroduet.export import _from_arrays

    draw = np.random.default_rng(0)
    recording = from_arrays(
        session_id="s1",
        counts=draw.poisson(2.0, size=(12, 8, 4)),
        bin_size_s=0.05,
        behaviours={"rates": draw.normal(size=(12, 8)), "windows": draw.normal(size=(12, 8))},
        split=["train"] * 8 + ["valid"] * 2 + ["test"] * 2,
    )
    save(recording, tmp_path / "s1.h5")
    (session,) = open_sessions(tmp_path, Config().data)
    arrays = {
        "start_s": np.arange(12.0),
        "split": np.array(["train"] * 12),
        "valid": np.ones((12, 8), dtype=bool),
        "bin_size_s": np.asarray(0.05),
        "encoding/log_rates": np.zeros((12, 8, 4)),
        "decoding/rates": np.zeros((12, 8, 1)),
        "decoding/windows": np.zeros((12, 8, 1)),
    }
    found = _from_arrays(session, arrays)
    assert [one.name for one in found.series] == ["rates", "rates_2", "windows_2"]


def test_entries_of_a_prediction_file_lead_nowhere(tmp_path: Path) -> None:
    """Other programs unpack these archives."""
    from neuroduet.tasks.export import npz_bytes

    (tmp_path / "p.npz").write_bytes(npz_bytes({"decoding/wheel": np.zeros(2)}))
    with zipfile.ZipFile(tmp_path / "p.npz") as archive:
        for name in archive.namelist():
            assert (tmp_path / name).resolve().is_relative_to(tmp_path)


def entry(name: str, *, link: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name
    info.external_attr = (0o120777 if link else 0o100644) << 16
    return info


UNPACKED = {
    "up": entry("../x.safetensors"),
    "up inside": entry("mine/../../x.safetensors"),
    "absolute": entry("/tmp/x.safetensors"),
    "backslashes": entry("mine\\..\\..\\x.safetensors"),
    "a drive": entry("c:/x.safetensors"),
    "a link": entry("mine/x.safetensors", link=True),
}


@pytest.mark.parametrize("name", UNPACKED)
def test_a_submission_that_would_unpack_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    from neuroduet.benchmark.submission import read_submission

    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr(UNPACKED[name], b"x")
    with pytest.raises(UserError, match="would be unpacked"):
        list(read_submission(tmp_path / "mine.zip"))


def test_an_array_named_as_a_path_is_only_a_name(out: Path) -> None:
    from neuroduet.data.boundary import npz_names, read_npz

    with (
        zipfile.ZipFile(out / "day.npz", "w") as archive,
        archive.open(entry("../x.npy"), "w") as file,
    ):
        np.lib.format.write_array(file, np.arange(3))
    assert npz_names(out / "day.npz") == ("../x",)
    assert read_npz(out / "day.npz")["../x"].tolist() == [0, 1, 2]
    assert outside(out) == []


@given(st.text())
def test_what_is_printed_leaves_the_terminal_alone(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(printable(text)) == printable(text)


def test_the_mapping_of_these_tests_is_valid() -> None:
    from neuroduet.data.readers.table_mapping import TableMapping

    TableMapping.model_validate(MAPPING)
