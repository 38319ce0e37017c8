"""A run folder survives the end of its process at any moment."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from tiny_runs import checkpoint, metrics, model_weights, same, tiny

from neuroduet.atomic import alone_in, remove_leftovers, replacing
from neuroduet.config import load_config
from neuroduet.errors import UserError
from neuroduet.tasks.run import evaluate, write_predictions
from neuroduet.training import runs
from neuroduet.training.files import own_run, read_tensors
from neuroduet.training.fit import train
from neuroduet.training.info import describe_run

LONG = ["training.max_epochs=100", "training.max_steps=60", "training.validate_every=3"]

needs_locks = pytest.mark.skipif(sys.platform == "win32", reason="needs locks on folders")


def parts(run: Path) -> set[Path]:
    """Temporary files of weights."""
    return {path for name in ("checkpoints", "model") for path in (run / name).glob(".*.part")}


def start(data: Path, out: Path) -> BaseProcess:
    """Begin or go on training in a process that can be killed."""
    # Children of a server that has imported everything start in no time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning.pytorch", "neuroduet.training.fit"])
    process = context.Process(target=train, args=(tiny(*LONG), data, out, None, True))
    process.start()
    return process


def kill_within_a_write(process: BaseProcess, run: Path, count: int) -> None:
    """Kill when the n-th temporary file is seen; it is left behind in nearly all cases."""
    seen = parts(run)
    while process.is_alive() and count > 0:
        new = parts(run) - seen
        seen, count = seen | new, count - len(new)
    process.kill()
    process.join()


def kill_between_writes(process: BaseProcess, run: Path, later_s: float) -> None:
    """Kill some time after the process has written its first checkpoint."""
    last = run / "checkpoints" / "last.safetensors"
    before = last.stat().st_mtime_ns if last.exists() else 0
    while process.is_alive() and not (last.exists() and last.stat().st_mtime_ns > before):
        time.sleep(0.001)
    time.sleep(later_s)
    process.kill()
    process.join()


def require_readable(run: Path) -> None:
    if (run / "config.yaml").exists():
        load_config(run / "config.yaml")
    for path in run.rglob("*.json"):
        json.loads(path.read_text())
    for path in run.rglob("*.safetensors"):
        read_tensors(path)
    if (run / "metrics.csv").exists():
        with (run / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert all(None not in row and None not in row.values() for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that start in no time")
def test_a_run_killed_at_any_moment_ends_as_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = start(data, whole)
    chance, within = random.Random(0), 0
    for kind in ("write", "time", "write", "write"):
        process = start(data, broken)
        if kind == "write":
            kill_within_a_write(process, broken, chance.randint(2, 8))
        else:
            kill_between_writes(process, broken, chance.uniform(0.0, 0.2))
        assert process.exitcode == -9
        within += bool(parts(broken))
        assert len(parts(broken)) <= 1  # those of earlier kills were removed
        require_readable(broken)
        assert not (broken / "model").exists()
    assert within > 0
    for process in (unbroken, start(data, broken)):
        process.join()
        assert process.exitcode == 0
    assert same(checkpoint(whole)[0], checkpoint(broken)[0])
    assert same(model_weights(whole), model_weights(broken))
    assert metrics(whole) == metrics(broken)
    assert not list(broken.rglob("*.part"))


def test_leftovers_of_one_file_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".a.csv.0011aabb.part", ".a.csv.b.part", ".b.csv.0011aabb.part", "a.csv"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.csv.0011aabb.part", "a.csv"]
    remove_leftovers(tmp_path / "*")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    remove_leftovers(tmp_path / "nowhere" / "*")


def test_a_run_removes_what_a_killed_training_left_but_not_what_others_write(
    tmp_path: Path,
) -> None:
    left = [".metrics.csv.1.part", "checkpoints/.last.safetensors.2.part", "model/.x.3.part"]
    others = [".scores.csv.1.part", "predictions/.s.npz.2.part", "checkpoints/last.safetensors"]
    for name in (*left, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with own_run(tmp_path):
        found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(others)


@needs_locks
def test_two_trainings_in_one_folder_are_refused(data: Path, tmp_path: Path) -> None:
    with (
        own_run(tmp_path / "run"),
        pytest.raises(UserError, match=r"another process is training in .*run; wait"),
    ):
        train(tiny("training.max_steps=1"), data, tmp_path / "run", resume=True)
    train(tiny("training.max_steps=1"), data, tmp_path / "run", resume=True)


def hold(folder: Path, note: Path) -> None:
    with alone_in(folder):
        note.touch()
        time.sleep(60)


@needs_locks
def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=hold, args=(tmp_path, tmp_path / "held"))
    process.start()
    end = time.monotonic() + 30
    while not (tmp_path / "held").exists() and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(UserError, match="another process"), alone_in(tmp_path):
        pass
    process.kill()
    process.join()
    with alone_in(tmp_path):
        pass


def test_a_replaced_file_and_its_name_are_on_disk_before_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(handle: int) -> None:
        kind = "folder" if os.fstat(handle).st_mode & 0o040000 else "file"
        order.append(kind)
        sync(handle)

    def note_replace(*paths: Path) -> None:
        order.append("replace")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("whole")
    assert order == ["file", "replace", "folder"]
    assert (tmp_path / "x").read_text() == "whole"


@pytest.mark.parametrize("at", ["validation", "model"])
def test_a_run_that_is_still_written_says_so(
    at: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = tmp_path / "run", []

    def read(*_: object) -> None:
        for use in (
            lambda: describe_run(run),
            lambda: evaluate(run, data),
            lambda: write_predictions(run, data, tmp_path / "predictions"),
        ):
            with pytest.raises(UserError, match=r"run is not a finished run: .*; train first"):
                use()
            said.append(at)

    if at == "model":
        # The description is written last: until then the weights beside it may be incomplete.
        monkeypatch.setattr(runs, "write_text", read)
    train(tiny("training.max_steps=2"), data, run, report=read if at == "validation" else None)
    assert len(said) == 3
    assert not (tmp_path / "predictions").exists()


def test_training_leaves_no_recording_open(data: Path, tmp_path: Path) -> None:
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc to see open files")
    train(tiny("training.max_steps=1"), data, tmp_path / "first")
    before = len(list(folder.iterdir()))
    for name in ("second", "third"):
        train(tiny("training.max_steps=1"), data, tmp_path / name)
    assert len(list(folder.iterdir())) <= before
