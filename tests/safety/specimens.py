"""A small valid example of everything read from disk, and the public call that reads it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """Files of one format.

    Attributes:
        write: Writes them into an empty folder.
        load: Reads them, by the calls a user makes.
        victims: Names (with ``*``) of the files that are spoilt, below the folder.
    """

    write: Callable[[Path], object]
    load: Callable[[Path], object]
    victims: tuple[str, ...] = ("**/*",)


def small_recording(session: str = "s1") -> Any:
    """Spikes of four units in eight trials, with behaviours of every kind."""
    from neuroduet.data.arrays import from_arrays

    draw = np.random.default_rng(0)
    start = np.arange(8) * 2.0 + 0.5
    times = np.linspace(0.0, 17.0, 171)
    recording = from_arrays(
        session_id=session,
        subject_id="mouse",
        spike_times=np.sort(draw.uniform(0.5, 16.5, 160)),
        spike_units=np.arange(160) % 4,
        units={
            "id": [f"unit{n}" for n in range(4)],
            "region": ["CA1", "VISp", "CA1", "VISp"],
            "depth_um": np.arange(4) * 20.0,
            "label": [1.0, 1.0, 0.0, 1.0],
        },
        trials={"start": start, "end": start + 1.0, "stimOn_times": start + 0.2},
        behaviours={
            "running": (times, draw.normal(size=171)),
            "choice": np.tile([-1, 1], 4),
        },
        split=["train"] * 5 + ["valid"] + ["test"] * 2,
    )
    return recording


def binned_recording(session: str = "s1") -> Any:
    """Counts of six units in twelve trials."""
    from neuroduet.data.arrays import from_arrays

    draw = np.random.default_rng(0)
    return from_arrays(
        session_id=session,
        subject_id="mouse",
        counts=draw.poisson(2.0, size=(12, 10, 6)),
        bin_size_s=0.02,
        behaviours={"wheel": draw.normal(size=(12, 10)), "choice": np.tile([-1, 1], 6)},
        units={"region": ["VISp5", "CA1"] * 3},
        split=["train"] * 8 + ["valid"] * 2 + ["test"] * 2,
    )


def acting_recording() -> Any:
    """Pose of one animal, with labels."""
    from neuroduet.data.readers.frame_recording import frame_recording, frame_times
    from neuroduet.data.readers.label_track import LabelReport, LabelTrack

    report = LabelReport(format="", frames=60, labelled=60, counts={}, bouts={})
    track = LabelTrack(
        classes=np.arange(60) // 10 % 2, names=("rest", "run"), report=report, rate_hz=30.0
    )
    return frame_recording(
        session_id="s1", timestamps=frame_times(60, 30.0), pose=tracks(60), labels=track
    )


def tracks(frames: int = 6) -> Any:
    """Pose of one animal."""
    from neuroduet.data.readers.pose import PoseTracks

    draw = np.random.default_rng(0)
    return PoseTracks(
        format="",
        xy=draw.normal(300.0, 50.0, (frames, 3, 2)),
        likelihood=draw.random((frames, 3)),
        keypoints=("nose", "body", "tail base"),
    )


def _write_recording(folder: Path) -> None:
    from neuroduet.data.recording import save

    save(small_recording(), folder / "s1.h5")


def _load_recording(folder: Path) -> None:
    from neuroduet.data.readers import READERS
    from neuroduet.data.readers.reader import ReadOptions
    from neuroduet.data.recording import describe, load
    from neuroduet.data.schema import check

    describe(folder / "s1.h5")
    with load(folder / "s1.h5") as recording:
        check(recording)
    READERS["brainsets"].inspect(folder / "s1.h5", ReadOptions())
    READERS["brainsets"].read(folder / "s1.h5", ReadOptions(min_rate_hz=0.1))


def _read_by(name: str, path: Path, **chosen: object) -> None:
    from neuroduet.data.readers import READERS
    from neuroduet.data.readers.reader import ReadOptions

    reader, options = READERS[name], ReadOptions(**chosen)
    reader.recognises(path)
    for session in reader.sessions(path):
        reader.inspect(session, options)
        reader.read(session, options)


def _write_alf(folder: Path) -> None:
    import pandas as pd

    from neuroduet.data.writers.alf import write_alf

    session = write_alf(small_recording(), folder) / "alf"
    times = np.linspace(1.0, 16.0, 45)
    draw = np.random.default_rng(0)
    np.save(session / "_ibl_wheel.timestamps.npy", times)
    np.save(session / "_ibl_wheel.position.npy", np.cumsum(draw.normal(size=45)))
    np.save(session / "_ibl_leftCamera.times.npy", times)
    np.save(session / "leftCamera.ROIMotionEnergy.npy", draw.random(40))
    pose = {
        f"paw_r_{part}": draw.random(40) * (1 if part == "likelihood" else 500)
        for part in ("x", "y", "likelihood")
    }
    pd.DataFrame(pose).to_parquet(session / "_ibl_leftCamera.lightningPose.pqt")


def _write_rows(format: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        from neuroduet.data.writers.rows import write_rows

        return write_rows(binned_recording(), folder, format=format)

    return write


MAPPING = {
    "session": "s1",
    "bin_size_s": 0.02,
    "counts": "x",
    "units": {"region": "area"},
    "behaviours": {"speed": "speed", "choice": "side"},
    "split": "part",
}
NO_TEXT = {key: value for key, value in MAPPING.items() if key not in ("units", "split")}


def _arrays() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        "x": draw.poisson(2.0, size=(6, 10, 4)),
        "speed": draw.normal(size=(6, 10)),
        "side": np.array([0, 1] * 3),
        "area": np.array(["VISp5", "CA1", "CA1", "VISp5"]),
        "part": np.array(["train"] * 4 + ["test"] * 2),
    }


def _write_npz(folder: Path) -> None:
    np.savez_compressed(folder / "day.npz", **_arrays())
    (folder / "map.yaml").write_text(yaml.safe_dump(MAPPING))


def _write_mat(folder: Path) -> None:
    from scipy.io import savemat

    arrays: dict[str, Any] = {
        name: values.astype(object) if values.dtype.kind == "U" else values
        for name, values in _arrays().items()
    }
    savemat(folder / "day.mat", {**arrays, "deep": {"a": arrays["speed"]}}, do_compression=True)
    (folder / "map.yaml").write_text(yaml.safe_dump(MAPPING))


def _write_mat73(folder: Path) -> None:
    with h5py.File(folder / "day.mat", "w") as file:
        for name, values in _arrays().items():
            if values.dtype.kind != "U":
                file[name] = values.T
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
        cell = file.create_dataset("cell", (2, 1), dtype=h5py.ref_dtype)
        for row, name in enumerate(("speed", "side")):
            cell[row, 0] = file[name].ref
    chosen = {**NO_TEXT, "behaviours": {"speed": "speed", "choice": "side"}}
    (folder / "map.yaml").write_text(yaml.safe_dump(chosen))


def _write_states(folder: Path) -> None:
    import pandas as pd

    draw = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
    pd.DataFrame(draw, columns=["still", "move", "groom"]).to_parquet(folder / "states.pqt")


def _write_nwb(folder: Path) -> None:
    from neuroduet.data.writers.nwb import write_nwb

    write_nwb(small_recording(), folder / "s1.nwb")
    with h5py.File(folder / "s1.nwb", "a") as file:
        pose = file.create_group("processing/behavior/camera")
        pose.attrs["neurodata_type"] = "PoseEstimation"
        for name in ("nose", "tail"):
            series = pose.create_group(name)
            series.attrs["neurodata_type"] = "PoseEstimationSeries"
            series["data"] = np.random.default_rng(0).random((30, 2))
            series["confidence"] = np.full(30, 0.95)
            series["timestamps"] = np.linspace(1.0, 16.0, 30)


def _write_pose(kind: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        from neuroduet.data.writers import pose

        if kind == "csv":
            return pose.write_dlc_csv(folder / "pose.csv", tracks())
        if kind == "h5":
            return pose.write_dlc_hdf(folder / "pose.h5", tracks())
        return pose.write_sleap(folder / "pose.h5", tracks())

    return write


def write_pandas_table(folder: Path, header: bytes | None = None) -> None:
    """The layout ``table`` of pandas: names in a pickled attribute."""
    columns = list(product(("net",), ("nose", "tail"), ("x", "y", "likelihood")))
    rows = np.zeros(8, dtype=[("index", "<i8"), ("values_block_0", "<f8", (len(columns),))])
    rows["index"] = np.arange(8)
    rows["values_block_0"] = np.linspace(0.1, 0.9, 8)[:, None]
    with h5py.File(folder / "pose.h5", "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        group["table"] = rows
        kind = pickle.dumps(columns, 0) if header is None else header
        group["table"].attrs["values_block_0_kind"] = np.bytes_(kind)


def _load_pose(folder: Path) -> None:
    from neuroduet.data.readers.pose import load_pose

    load_pose(next(iter(sorted(folder.glob("pose.*")))))


def _write_labels(kind: str) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        from neuroduet.data.writers import labels

        path, classes, names = folder / "labels.csv", np.arange(40) // 8 % 3, ("a", "b", "c")
        if kind == "one-hot":
            return labels.write_one_hot(path, classes, names)
        if kind == "intervals":
            return labels.write_intervals(path, classes, names, 30.0)
        return labels.write_boris(path, classes, names, 30.0, style=kind)

    return write


CALTECH = (
    "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\nbase\tz\nbite\tb\n\n"
    "S1:\tstart\tend\ttype\n-----\n \t1\t5\tbase\n \t6\t7\tbite\n \nS2:\tstart\tend\ttype\n"
    "-----\n \t1\t7\tbase\n"
)


def _write_gait(folder: Path) -> None:
    sensors = [
        f"{kind}_{side}{place}_{axis}"
        for side in "rl"
        for place in "fst"
        for kind in ("acc", "gyro")
        for axis in "xyz"
    ]
    rows = ["\t".join(map(str, [*range(n, n + 38), 1 + n % 3])) for n in range(12)]
    text = "\n".join(["#Activity\tx", "\t".join([*sensors, "EMG_r", "EMG_l", "act"]), *rows])
    (folder / "HuGaDB_v2_various_05_00.txt").write_text(text + "\n")


def _load_gait(folder: Path) -> None:
    from neuroduet.data.readers.action_sets import read_action_set
    from neuroduet.data.readers.labels import load_labels

    load_labels(next(iter(folder.glob("*.txt"))))
    read_action_set("hugadb", folder, "05")


def _load_labels(folder: Path) -> None:
    from neuroduet.data.readers.labels import load_labels

    load_labels(next(iter(sorted(folder.iterdir()))), rate_hz=30.0)


def _write_acting(folder: Path) -> None:
    from neuroduet.data.recording import save

    save(acting_recording(), folder / "s1.h5")


def _write_action_arrays(folder: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(
        folder / "one.npz",
        features=draw.normal(size=(50, 4)),
        labels=np.arange(50) // 10 % 2,
        timestamps=np.arange(50) / 30.0,
        names=np.array(["rest", "run"]),
    )


def _load_acting(folder: Path) -> None:
    from neuroduet.data.action_files import common_labels, open_action_recordings

    common_labels(open_action_recordings(folder))


def _write_answers(folder: Path) -> None:
    np.savez_compressed(
        folder / "one.actions.npz",
        classes=np.arange(20) % 2,
        probabilities=np.eye(2, dtype=np.float32)[np.arange(20) % 2],
        names=np.array(["rest", "run"]),
        timestamps=np.arange(20) / 30.0,
    )


def _load_answers(folder: Path) -> None:
    from neuroduet.export import action_predictions

    list(action_predictions(folder))


def _write_config(folder: Path) -> None:
    from neuroduet.config import Config

    (folder / "config.yaml").write_text(Config().to_yaml())


def _load_config(folder: Path) -> None:
    from neuroduet.config import load_config

    load_config(folder / "config.yaml")


def _load_mapping(folder: Path) -> None:
    from neuroduet.data.readers.mapping import read_mapping
    from neuroduet.data.readers.table_mapping import TableMapping

    read_mapping(folder / "map.yaml", TableMapping)


SMALL = [
    "model.width=8",
    "model.layers=1",
    "model.heads=1",
    "model.feed_forward=8",
    "model.input_rank=2",
    "model.output_rank=2",
    "model.input_kernel=3",
    "model.behaviour_kernel=3",
    "training.device=cpu",
    "training.max_epochs=1",
]


def _write_run(folder: Path) -> None:
    from neuroduet.config import Config, override
    from neuroduet.data.recording import save
    from neuroduet.training.fit import train

    (folder / "data").mkdir(parents=True)
    save(binned_recording(), folder / "data" / "s1.h5")
    train(override(Config(), SMALL), folder / "data", folder / "run")


def _load_run(folder: Path) -> None:
    from neuroduet.training.runs import load_run

    load_run(folder / "run")


def _write_report_folder(folder: Path) -> None:
    import pandas as pd

    _write_run(folder / "made")
    for path in (folder / "made" / "run").iterdir():
        if path.name not in ("checkpoints", "logs"):
            path.rename(folder / path.name)
    columns = ("model", "session", "task", "target", "metric", "value", "n", "null", "oracle")
    rows = [
        ("duet", "s1", "encoding", "spikes", "bits_per_spike", 0.2, 10, 0.0, 0.4),
        ("ridge", "s1", "decoding", "wheel", "r2", 0.6, 10, 0.0, np.nan),
    ]
    table = pd.DataFrame(rows, columns=columns).assign(split="test")
    table.to_csv(folder / "scores.csv", index=False)
    units = {
        "session": "s1", "task": "encoding", "unit": ["u1", "u2"], "region": "CA1",
        "metric": "bits_per_spike", "value": [0.1, 0.2], "rate_hz": [1.0, 2.0],
    }  # fmt: skip
    pd.DataFrame(units).to_parquet(folder / "scores_units.parquet")
    embeddings = {"session": "s1", "unit": ["u1", "u2"], "region": "CA1", "e0": [0.1, 0.2]}
    pd.DataFrame(embeddings | {"e1": [1.0, 0.0]}).to_csv(folder / "embeddings.csv", index=False)


def _write_predictions(folder: Path) -> None:
    draw = np.random.default_rng(0)
    valid = np.ones((6, 5), dtype=bool)
    (folder / "predictions").mkdir()
    np.savez_compressed(
        folder / "predictions" / "s1.npz",
        start_s=np.arange(6) * 2.0,
        split=np.array(["train", "test"] * 3),
        trial=np.arange(6),
        valid=valid,
        units=np.array(["u0", "u1"]),
        bin_size_s=np.asarray(0.02),
        **{
            "encoding/log_rates": draw.normal(size=(6, 5, 2)).astype(np.float32),
            "true/counts": draw.poisson(1.0, size=(6, 5, 2)).astype(np.uint8),
            "decoding/wheel": draw.normal(size=(6, 5, 1)).astype(np.float32),
            "true/wheel": draw.normal(size=(6, 5, 1)).astype(np.float32),
            "observed/wheel": valid,
        },
    )


def _load_page(folder: Path) -> None:
    from neuroduet.report.page import write_report

    write_report(folder)


def _load_run_folder(folder: Path) -> None:
    from neuroduet.training.info import describe_run

    _load_page(folder)
    describe_run(folder)


def _write_segmenter(model: str, **options: object) -> Callable[[Path], object]:
    def write(folder: Path) -> object:
        from neuroduet.actions import Segmenter

        draw = np.random.default_rng(0)
        labels = np.arange(80) // 10 % 2
        features = draw.normal(size=(80, 3)) + labels[:, None]
        segmenter = Segmenter(model, classes=("rest", "run"), n_states=2, **options)
        return segmenter.fit([features], [labels]).save_pretrained(folder / "model")

    return write


def _load_segmenter(folder: Path) -> None:
    from neuroduet.actions import Segmenter

    Segmenter.from_pretrained(folder / "model")


def _write_submission(folder: Path) -> None:
    import torch

    from neuroduet.benchmark.submission import Entry, write_submission

    wheel = {
        "predictions": torch.arange(100.0).reshape(2, 50, 1),
        "trial_id": torch.arange(2),
        "timestamps": torch.zeros(2, 50),
    }
    entry = Entry(task="ts1-wheel_speed", recording="r1", seed=43, tensors=wheel, notes={})
    write_submission(folder / "mine.zip", "mine", [entry])


def _load_submission(folder: Path) -> None:
    from neuroduet.benchmark.submission import read_submission

    list(read_submission(folder / "mine.zip"))


def _written(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


SPECIMENS: dict[str, Specimen] = {
    "recording": Specimen(write=_write_recording, load=_load_recording),
    "alf": Specimen(write=_write_alf, load=lambda folder: _read_by("alf", folder)),
    "nwb": Specimen(write=_write_nwb, load=lambda folder: _read_by("nwb", folder / "s1.nwb")),
    "rows-parquet": Specimen(
        write=_write_rows("parquet"), load=lambda folder: _read_by("rows", folder)
    ),
    "rows-arrow": Specimen(
        write=_write_rows("arrow"), load=lambda folder: _read_by("rows", folder)
    ),
    "npz": Specimen(
        write=_write_npz,
        load=lambda folder: _read_by("npz", folder / "day.npz", mapping=folder / "map.yaml"),
    ),
    "mat": Specimen(
        write=_write_mat,
        load=lambda folder: _read_by("mat", folder / "day.mat", mapping=folder / "map.yaml"),
    ),
    "mat-7.3": Specimen(
        write=_write_mat73,
        load=lambda folder: _read_by("mat", folder / "day.mat", mapping=folder / "map.yaml"),
    ),
    "pose-csv": Specimen(write=_write_pose("csv"), load=_load_pose),
    "pose-dlc-h5": Specimen(write=_write_pose("h5"), load=_load_pose),
    "pose-pandas-table": Specimen(write=write_pandas_table, load=_load_pose),
    "pose-sleap": Specimen(write=_write_pose("sleap"), load=_load_pose),
    "labels-one-hot": Specimen(write=_write_labels("one-hot"), load=_load_labels),
    "labels-intervals": Specimen(write=_write_labels("intervals"), load=_load_labels),
    "labels-boris-old": Specimen(write=_write_labels("old"), load=_load_labels),
    "labels-boris-new": Specimen(write=_write_labels("new"), load=_load_labels),
    "labels-caltech": Specimen(write=_written("a.txt", CALTECH), load=_load_labels),
    "labels-states": Specimen(write=_write_states, load=_load_labels),
    "hugadb": Specimen(write=_write_gait, load=_load_gait),
    "acting-recording": Specimen(write=_write_acting, load=_load_acting),
    "acting-arrays": Specimen(write=_write_action_arrays, load=_load_acting),
    "actions-answers": Specimen(write=_write_answers, load=_load_answers),
    "config": Specimen(write=_write_config, load=_load_config),
    "mapping": Specimen(
        write=lambda folder: (folder / "map.yaml").write_text(json.dumps(MAPPING)),
        load=_load_mapping,
    ),
    "run": Specimen(write=_write_run, load=_load_run, victims=("run/model/*",)),
    "run-folder": Specimen(
        write=_write_report_folder,
        load=_load_run_folder,
        victims=("*.csv", "*.parquet", "*.json", "*.yaml", "model/config.json"),
    ),
    "predictions": Specimen(write=_write_predictions, load=_load_page, victims=("**/*.npz",)),
    "segmenter-arhmm": Specimen(
        write=_write_segmenter("arhmm", max_components=2), load=_load_segmenter
    ),
    "segmenter-forest": Specimen(
        write=_write_segmenter("random_forest", trees=3), load=_load_segmenter
    ),
    "segmenter-tcn": Specimen(
        write=_write_segmenter("tcn", steps=2), load=_load_segmenter
    ),
    "segmenter-slds": Specimen(
        write=_write_segmenter("slds", steps=2), load=_load_segmenter
    ),
    "submission": Specimen(write=_write_submission, load=_load_submission),
    "unsafe-pickle": Specimen(
        write=lambda folder: (folder / "x.pickle").write_bytes(pickle.dumps(1)),
        load=lambda folder: pickle.loads((folder / "x.pickle").read_bytes()),
    ),
    "unsafe-eval": Specimen(
        write=_written("x.txt", "1"), load=lambda folder: eval((folder / "x.txt").read_text())
    ),
}  # fmt: skip
"""By a name for test reports; the last two are what no reader may be, to try the cage."""
