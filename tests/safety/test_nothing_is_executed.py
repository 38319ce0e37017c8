"""Files made to run code, to point elsewhere or to fill the memory are refused, and do nothing."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from cage import Cage
from specimens import MAPPING, NO_TEXT, small_recording, write_pandas_table

from neuroduet.data.recording import load, save
from neuroduet.errors import UserError


class Intruder:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, ("intruder.txt", "w")


OBJECTS = np.array([Intruder(), None], dtype=object)
PICKLE = pickle.dumps(Intruder())


def refused(cage: Cage, name: str, folder: Path, said: str) -> None:
    """The files are refused with a sentence, and nothing else happened."""
    before = sorted(folder.rglob("*"))
    outcome = cage.read(name, folder)
    assert outcome.kind == "refused", outcome
    assert said in outcome.said
    assert outcome.events == ()
    assert sorted(folder.rglob("*")) == before


def test_the_cage_hears_a_pickle_that_is_loaded(cage: Cage, tmp_path: Path) -> None:
    """The watch must be able to fail: this is what an unsafe reader looks like."""
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(OBJECTS))
    outcome = cage.read("unsafe-pickle", tmp_path)
    assert any(event.startswith("pickle.find_class") for event in outcome.events)
    assert any("intruder.txt" in event for event in outcome.events)


def test_the_cage_hears_code_that_is_run(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("__import__('os').system('true')")
    events = " ".join(cage.read("unsafe-eval", tmp_path).events)
    assert "exec <string>" in events
    assert "os.system" in events


@pytest.mark.parametrize("name", ["npz", "acting-arrays", "actions-answers"])
def test_objects_in_archives_of_arrays_are_not_unpickled(
    cage: Cage, tmp_path: Path, name: str
) -> None:
    file = {"npz": "day.npz", "acting-arrays": "one.npz", "actions-answers": "one.actions.npz"}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({"bin_size_s": 0.02, "counts": "x"}))
    arrays = dict.fromkeys(("x", "features", "probabilities", "names", "timestamps"), OBJECTS)
    np.savez(tmp_path / file[name], allow_pickle=True, **arrays)
    refused(cage, name, tmp_path, "holds Python objects")


def test_objects_in_predictions_are_named_as_missing(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    np.savez(tmp_path / "predictions" / "s1.npz", allow_pickle=True, units=OBJECTS)
    outcome = cage.read("predictions", tmp_path)
    assert (outcome.kind, outcome.events) == ("read", ())
    assert "holds Python objects" in (tmp_path / "report.html").read_text()


def test_objects_in_numpy_files_of_a_session_are_not_unpickled(cage: Cage, tmp_path: Path) -> None:
    from neuroduet.data.writers.alf import write_alf

    session = write_alf(small_recording(), tmp_path)
    np.save(next(session.rglob("spikes.times*.npy")), OBJECTS, allow_pickle=True)
    refused(cage, "alf", tmp_path, "not a plain numpy array")


def test_a_bare_pickle_under_any_name_is_refused(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(MAPPING))
    for name, file in (("npz", "day.npz"), ("mat", "day.mat")):
        (tmp_path / file).write_bytes(PICKLE)
        refused(cage, name, tmp_path, file)
    for name in ("submission", "pose-csv", "acting-recording"):
        folder = tmp_path / name
        folder.mkdir()
        file = {"submission": "mine.zip", "pose-csv": "pose.csv"}.get(name, "s1.h5")
        (folder / file).write_bytes(PICKLE)
        refused(cage, name, folder, file)


def test_weights_that_are_a_pickle_are_refused(cage: Cage, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(cage.specimen("segmenter-arhmm"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "model" / "segmenter.safetensors").write_bytes(PICKLE)
    refused(cage, "segmenter-arhmm", tmp_path, "no readable segmenter")


def test_functions_and_objects_of_matlab_are_refused(cage: Cage, tmp_path: Path) -> None:
    from scipy.io import savemat

    (tmp_path / "map.yaml").write_text(yaml.safe_dump(NO_TEXT))
    savemat(tmp_path / "day.mat", {"x": np.zeros((2, 2))})
    whole = bytearray((tmp_path / "day.mat").read_bytes())
    place = whole.index((6).to_bytes(4, "little") + (8).to_bytes(4, "little")) + 8
    for kind, name in ((3, "object"), (16, "function"), (17, "opaque")):
        whole[place] = kind
        (tmp_path / "day.mat").write_bytes(bytes(whole))
        outcome = cage.read("mat", tmp_path)
        assert (outcome.kind, outcome.events) == ("refused", ()), name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_headers_of_pandas_are_never_run(
    cage: Cage, tmp_path: Path, protocol: int
) -> None:
    write_pandas_table(tmp_path, pickle.dumps([Intruder()], protocol).rstrip(b"\0"))
    refused(cage, "pose-pandas-table", tmp_path, "export it as csv")


def test_extension_types_of_arrow_are_not_built(cage: Cage, tmp_path: Path) -> None:
    """A type stored under the name that pyarrow unpickles holds a pickle in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    meta = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": PICKLE,
    }
    field = pa.field("state", pa.string(), metadata=meta)
    table = pa.table([pa.array(["a", "b"])], schema=pa.schema([field]))
    parquet.write_table(table, tmp_path / "states.pqt")
    outcome = cage.read("labels-states", tmp_path)
    assert outcome.events == ()
    assert not (tmp_path / "intruder.txt").exists()


# HDF5 files that point out of themselves.

CANARY = b"nobody shall read this"


def external_link(file: h5py.File, other: Path) -> None:
    file["elsewhere"] = h5py.ExternalLink(str(other), "/secret")


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("raw", (len(CANARY),), "u1", external=[(str(other), 0, len(CANARY))])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (3,))
    file.create_virtual_dataset("mosaic", layout)


def deep_link(file: h5py.File, other: Path) -> None:
    file.create_group("a/b/c")["d"] = h5py.ExternalLink(str(other), "/secret")


OUTWARD = (external_link, external_storage, virtual, deep_link)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is nobody's business."""
    path = tmp_path_factory.mktemp("other") / "other.h5"
    with h5py.File(path, "w") as file:
        file["secret"] = np.arange(3.0)
    return path


@pytest.mark.parametrize("point", OUTWARD, ids=lambda one: one.__name__)
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("recording", "s1.h5"),
        ("acting-recording", "s1.h5"),
        ("nwb", "s1.nwb"),
        ("pose-sleap", "pose.h5"),
        ("pose-dlc-h5", "pose.h5"),
        ("mat-7.3", "day.mat"),
    ],
)
def test_an_hdf5_file_that_points_to_another_is_refused(
    cage: Cage,
    tmp_path: Path,
    other: Path,
    point: Callable[[h5py.File, Path], None],
    name: str,
    file: str,
) -> None:
    import shutil

    shutil.copytree(cage.specimen(name), tmp_path, dirs_exist_ok=True)
    with h5py.File(tmp_path / file, "a") as opened:
        point(opened, other)
    refused(cage, name, tmp_path, f"lies in another file ({other})")


def test_bytes_of_a_system_file_do_not_become_data(tmp_path: Path) -> None:
    save(small_recording(), tmp_path / "s1.h5")
    with h5py.File(tmp_path / "s1.h5", "a") as file:
        file.create_dataset("leak", (10,), "u1", external=[("/etc/passwd", 0, 10)])
    with pytest.raises(UserError, match=r"lies in another file \(/etc/passwd\)"):
        load(tmp_path / "s1.h5")


def test_a_link_within_a_file_is_followed(cage: Cage, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(cage.specimen("nwb"), tmp_path, dirs_exist_ok=True)
    with h5py.File(tmp_path / "s1.nwb", "a") as file:
        series = file["processing/behavior/camera"]
        del series["tail/timestamps"]
        series["tail/timestamps"] = h5py.SoftLink("/processing/behavior/camera/nose/timestamps")
    assert cage.read("nwb", tmp_path).kind == "read"


# Files that claim more than they hold.


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (10**18,), (10**9,)])
def test_a_dataset_of_endless_rows_is_refused_unread(
    cage: Cage, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    import shutil

    shutil.copytree(cage.specimen("pose-sleap"), tmp_path, dirs_exist_ok=True)
    with h5py.File(tmp_path / "pose.h5", "a") as file:
        chunks = tuple(min(size, 1000) for size in shape)
        file.create_dataset("more", shape, "f8", chunks=chunks, compression="gzip")
    refused(cage, "pose-sleap", tmp_path, "bytes of memory")


def npy_head(shape: object, descr: str = "<f8") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", [(10**12,), (2**62,), (-1,), (10**5, 10**9), (2**70,)])
def test_an_array_that_claims_more_than_follows_is_refused(
    cage: Cage, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({"bin_size_s": 0.02, "counts": "x"}))
    with zipfile.ZipFile(tmp_path / "day.npz", "w") as archive:
        archive.writestr("x.npy", npy_head(shape) + bytes(80))
    refused(cage, "npz", tmp_path, "claims the shape")


def test_an_archive_that_unpacks_to_far_more_is_refused(cage: Cage, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(MAPPING))
    with (
        zipfile.ZipFile(tmp_path / "day.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as entry,
    ):
        for _ in range(257):
            entry.write(bytes(1 << 20))
    refused(cage, "npz", tmp_path, "bytes of memory")
    (tmp_path / "day.npz").rename(tmp_path / "mine.zip")
    refused(cage, "submission", tmp_path, "bytes of memory")


def test_archives_of_sparse_counts_are_still_read(cage: Cage, tmp_path: Path) -> None:
    counts = np.zeros((6, 4000, 40), dtype=np.int64)
    counts[:, ::200] = 1
    arrays = {"x": counts, "speed": np.zeros((6, 4000)), "side": np.arange(6) % 2}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(NO_TEXT))
    np.savez_compressed(tmp_path / "day.npz", **arrays)
    assert cage.read("npz", tmp_path).kind == "read"


def test_a_parquet_table_of_endless_rows_is_refused(cage: Cage, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60_000_000, "i1")), pa.array(["a"]))
    parquet.write_table(pa.table({"state": column}), tmp_path / "states.pqt")
    assert (tmp_path / "states.pqt").stat().st_size < 1 << 20
    refused(cage, "labels-states", tmp_path, "bytes of memory")


def test_an_array_of_arrow_that_reads_beyond_its_buffer_is_refused(
    cage: Cage, tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(cage.specimen("rows-arrow"), tmp_path, dirs_exist_ok=True)
    (path,) = tmp_path.glob("train/*.arrow")
    content = bytearray(path.read_bytes())
    # Eight rows of (bins, units): where each list starts, and where the last one ends.
    starts = np.arange(0, 18, 2, dtype=np.int32)
    place = content.index(starts.tobytes())
    starts[1:] += 10**8
    content[place : place + starts.nbytes] = starts.tobytes()
    path.write_bytes(bytes(content))
    refused(cage, "rows-arrow", tmp_path, "damaged")


def test_buffers_are_what_the_tests_think(tmp_path: Path) -> None:
    """The heads written here are those that numpy reads."""
    content = io.BytesIO(npy_head((3,)) + np.arange(3.0).tobytes())
    assert np.load(content).tolist() == [0.0, 1.0, 2.0]
