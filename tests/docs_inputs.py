"""What the pages of the documentation assume to be there: files that the blocks read.

Makers write into the folder of a page; they take a second at most.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
FPS = 30.0
VIDEO_FRAMES = 600
"""Frames of every recorded video that the tutorials read here."""

EID = "03d9a098-07bf-4765-88b7-85f8d8f620cc"
"""The IBL session that a page names."""


Maker = Callable[[Path], None]


def recordings(name: str, here: Path) -> None:
    """Two simulated sessions in a folder."""
    from neuroduet.simulate import simulate

    simulate(here / name, 2, 0, "tiny")


def run(name: str, data: str, here: Path) -> None:
    """A model that was trained on a folder of recordings."""
    from neuroduet.presets import duet
    from neuroduet.training.fit import train

    train(duet(), here / data, here / name)


def scored_run(name: str, data: str, here: Path) -> None:
    """The same, with the scores of some tasks."""
    from neuroduet.tasks.run import evaluate

    run(name, data, here)
    evaluate(here / name, here / data, tasks=["encoding", "decoding"],
                 out=here / name / "scores.csv")  # fmt: skip


def session(name: str, here: Path) -> None:
    """A recording of few units, with spikes, a running speed and choices, named after its file."""
    from neuroduet.data.arrays import from_arrays
    from neuroduet.data.recording import save

    with TemporaryDirectory() as scratch:
        arrays(Path(scratch))
        found = {path.stem: np.load(path) for path in Path(scratch).glob("*.npy")}
    path = here / name
    path.parent.mkdir(parents=True, exist_ok=True)
    recording = from_arrays(
        session_id=path.stem,
        spike_times=found["spike_times"],
        spike_units=found["spike_units"],
        behaviours={
            "running": (found["running_times"], found["running"]),
            "choice": found["choice"],
        },
        trials={"start": found["trial_start"], "end": found["trial_end"]},
        units={"region": found["regions"]},
    )
    save(recording, path)


def arrays(here: Path) -> None:
    """Binned counts, behaviours, spike times and traces of a session, as numpy files."""
    draw = np.random.default_rng(0)
    trials, bins, units = 60, 50, 12
    wheel = np.cumsum(draw.normal(size=(trials, bins)), axis=1) * 0.3
    gains = draw.normal(size=units) * 0.3
    counts = draw.poisson(np.exp(-1 + wheel[..., None].clip(-3, 3) * gains))
    start = np.arange(trials) * 2.0
    trial, bin_, unit = np.nonzero(counts)
    np.save(here / "counts.npy", counts)
    np.save(here / "wheel.npy", wheel)
    np.save(here / "choice.npy", np.where(wheel.mean(1) > 0, 1, -1))
    np.save(here / "spike_times.npy", start[trial] + (bin_ + 0.5) * 0.02)
    np.save(here / "spike_units.npy", unit)
    np.save(here / "trial_start.npy", start)
    np.save(here / "trial_end.npy", start + bins * 0.02)
    np.save(here / "regions.npy", np.repeat(["CA1", "VISp"], units // 2))
    times = np.arange(0, trials * 2.0, 0.01)
    np.save(here / "running_times.npy", times)
    np.save(here / "running.npy", np.interp(times, (start[:, None] + np.arange(bins) * 0.02)
                                            .ravel(), wheel.ravel()))  # fmt: skip
    frames = np.arange(0, trials * 2.0, 0.1)
    speed = np.sin(frames / 3)
    np.save(here / "dff.npy", speed[:, None] * gains + draw.normal(size=(len(frames), units)))
    np.save(here / "dff_running.npy", speed)


def nwb(name: str, here: Path) -> None:
    """A session as an NWB file."""
    from neuroduet.data.writers.nwb import write_nwb
    from neuroduet.simulate import simulate_session

    (here / name).parent.mkdir(parents=True, exist_ok=True)
    write_nwb(simulate_session(seed=5, index=0, size="tiny"), here / name)


def alf(name: str, here: Path) -> None:
    """Two IBL session folders, with the index by which ONE finds them."""
    from neuroduet.data.readers.one import index_sessions
    from neuroduet.data.writers.alf import write_alf
    from neuroduet.simulate import simulate_session

    for index in range(2):
        write_alf(simulate_session(seed=5, index=index, size="tiny"), here / name)
    index_sessions(here / name)


def known_by_id(name: str, here: Path) -> None:
    """Give the first session of ONE's folder the id that the page names."""
    import pyarrow as pa
    from pyarrow import parquet

    alf(name, here)
    tables = {"sessions.pqt": "id", "datasets.pqt": "eid"}
    first, second = sorted(parquet.read_table(here / name / "sessions.pqt")["id"].to_pylist())
    for file, column in tables.items():
        table = parquet.read_table(here / name / file)
        ids = [EID if one == first else one for one in table[column].to_pylist()]
        place = table.column_names.index(column)
        parquet.write_table(table.set_column(place, column, pa.array(ids, table[column].type)),
                            here / name / file)  # fmt: skip
    (here / "mine.txt").write_text(f"# both\n{EID}\n{second}\n", encoding="utf-8")


def videos(here: Path) -> None:
    """Pose and labels of films: recordings, a tracker's csv, BORIS' table."""
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries, SessionDescription

    from neuroduet.data.recording import save
    from neuroduet.simulate.ethogram import simulate_pose

    films = simulate_pose(6, 900, seed=0, n_classes=3, fps=FPS)
    for index, (pose, states) in enumerate(zip(films.pose, films.states, strict=True)):
        times = np.arange(len(pose)) / FPS
        recording = Data(
            domain=Interval(0.0, len(pose) / FPS),
            session=SessionDescription(id=f"day{index + 1}"),
            pose=IrregularTimeSeries(times, xy=pose[..., :2], likelihood=pose[..., 2]),
            keypoints=ArrayDict(name=np.array(films.keypoints)),
            labels=IrregularTimeSeries(times, classes=states.astype(np.int32)),
            label_classes=ArrayDict(name=np.array(films.names)),
        )
        folder = here / ("videos" if index < 4 else "held-out")
        folder.mkdir(exist_ok=True)
        save(recording, folder / f"day{index + 1}.h5")


def segmenter(name: str, data: str, here: Path) -> None:
    """A network that was trained on a folder of films."""
    from neuroduet.actions.run import Inputs, Recipe, train_segmenter

    inputs = Inputs(data=here / data)
    train_segmenter(inputs=inputs, recipe=Recipe(), out=here / name, unlabelled=False)


def film(here: Path) -> None:
    """The files of one film as programs write them."""
    from neuroduet.data.readers.pose_tracks import PoseTracks
    from neuroduet.data.writers.labels import write_boris, write_intervals
    from neuroduet.data.writers.pose import write_dlc_csv
    from neuroduet.simulate.ethogram import simulate_pose

    films = simulate_pose(1, 3000, seed=1, n_classes=3, fps=FPS)
    pose, states = films.pose[0], films.states[0]
    folder = here / "videos"
    folder.mkdir(exist_ok=True)
    tracks = PoseTracks(
        format="simulated", xy=pose[..., :2], likelihood=pose[..., 2], keypoints=films.keypoints
    )
    write_dlc_csv(folder / "day1.csv", tracks)
    write_boris(folder / "day1_boris.csv", states, films.names, FPS)
    write_intervals(here / "day1.labels.csv", states, films.names, FPS)


def gait(here: Path) -> None:
    """Two files of HuGaDB."""
    (here / "HuGaDB").mkdir()
    sensors = product("rl", "fst", ("acc", "gyro"), "xyz")
    header = [f"{kind}_{side}{place}_{axis}" for side, place, kind, axis in sensors]
    columns = "\t".join([*header, "EMG_r", "EMG_l", "act"])
    head = ["#Activity\tx", "#ActivityID\t1", "#Date 1", columns]
    for participant in ("01", "02"):
        rows = ["\t".join(map(str, [*range(n, n + 38), 1 + n // 50])) for n in range(100)]
        path = here / "HuGaDB" / f"HuGaDB_v2_various_{participant}_00.txt"
        path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def corrected(here: Path) -> None:
    """Labels of one film of the tutorial as the viewer saves them."""
    from neuroduet.data.writers.labels import write_intervals

    folder = here / "rats" / "train"
    folder.mkdir(parents=True)
    said = np.repeat([0, 1, -1, 2, 0], VIDEO_FRAMES // 5)
    write_intervals(
        folder / "rats02.labels.csv", said, ("social", "nonsocial", "aggression"), 25.0
    )


def benchmark(here: Path) -> None:
    """Recordings in the layout of the brain-wide benchmark."""
    from neuroduet.simulate.brainwide import simulate_brainwide

    simulate_brainwide(here / "bench", evaluation=2, pretraining=1)


def shared_data() -> Path:
    """Folder of recorded data, as given or beside the project."""
    return Path(os.environ.get("NEURODUET_SHARED_DATA", PROJECT / ".." / "shared" / "data"))


def shorten(source: Path, folder: Path) -> None:
    """Copy the recorded data that tutorials read, the first seconds of every video only."""
    (folder / "rat_social").mkdir()
    shutil.copytree(source / "monkey_reach", folder / "monkey_reach")
    with np.load(source / "rat_social" / "rat_social_01-24.npz") as whole:
        cut = {name: whole[name][2000 : 2000 + VIDEO_FRAMES] for name in whole}
    np.savez(folder / "rat_social" / "rat_social_01-24.npz", **cut)


INPUTS: Mapping[str, tuple[Maker, ...]] = {
    "README.md": (arrays, partial(nwb, "session.nwb")),
    "quickstart.md": (partial(session, "new_animals/mouse7.h5"),),
    "data.md": (arrays,),
    "ingest.md": (
        partial(alf, "downloads"),
        partial(known_by_id, "ONE"),
        partial(recordings, "data"),
        partial(nwb, "nwb/a.nwb"),
        partial(run, "runs/mine", "data"),
    ),
    "actions.md": (videos,),
    "pose-and-labels.md": (film, gait),
    "nulls.md": (partial(session, "data/mouse1.h5"), partial(run, "runs/mine", "data")),
    "crossval.md": (partial(session, "data/mouse1.h5"),),
    "questions.md": (partial(session, "data/mouse1.h5"), partial(session, "data/mouse2.h5")),
    "search.md": (
        partial(session, "data/mouse1.h5"),
        partial(session, "new/mouse2.h5"),
        partial(run, "runs/pretrained", "data"),
    ),
    "scale.md": (partial(recordings, "mydata"),),
    "benchmark.md": (benchmark,),
    "sharing.md": (
        partial(session, "data/mouse1.h5"),
        partial(scored_run, "runs/first", "data"),
        partial(session, "new_animals/mouse7.h5"),
    ),
    "tutorials/own-data.md": (
        arrays,
        partial(alf, "downloads"),
        partial(nwb, "session.nwb"),
        film,
    ),
    "tutorials/rat-social.md": (corrected,),
    "seeing.md": (
        partial(session, "data/mouse1.h5"),
        partial(scored_run, "runs/first", "data"),
        partial(scored_run, "runs/wide", "data"),
        videos,
        partial(segmenter, "models/tcn", "videos"),
        film,
    ),
}
"""By page: who makes what its blocks assume."""
