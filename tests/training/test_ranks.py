"""Several processes make the steps of a single one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import (
    SMALL,
    Killed,
    checkpoint,
    killer,
    metrics,
    model_weights,
    same,
    tiny,
    write_recording,
)

from neuroduet.data.session import Session, open_sessions
from neuroduet.errors import UserError
from neuroduet.models import build, set_up_session
from neuroduet.training.fit import fit, train
from neuroduet.training.module import TrainingModule
from neuroduet.training.ranks import ALONE, Ranks, gathered, ranks_of
from neuroduet.training.runs import load_run
from neuroduet.training.state import Progress
from neuroduet.training.steps import Steps, own_rows

STILL = ["model.dropout=0", "model.unit_dropout=0", "model.readout_dropout=0"]
"""Dropout is drawn anew in every process."""

TOLERANCE = 2e-5
"""Sums over windows are made in another order: single precision differs in the sixth digit."""

SETTINGS = [
    *STILL,
    "training.max_epochs=10",
    "training.max_steps=6",
    "training.validate_every=2",
    "training.batch_size=7",
    "training.sessions_per_batch=2",
    "masking.schemes={encoding: 1, decoding: 1, neuron: 1, intra_region: 1}",
]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALONE),
        ({"WORLD_SIZE": "4"}, ALONE),
        (
            {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            Ranks(rank=5, world=8, nodes=2),
        ),
        (
            {
                "SLURM_PROCID": "5",
                "SLURM_STEP_NUM_TASKS": "6",
                "SLURM_STEP_NUM_NODES": "2",
                "SLURM_NTASKS_PER_NODE": "3",
            },
            Ranks(rank=5, world=6, nodes=2),
        ),
        # A batch script, or a shell on a node: srun has not been called.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_NNODES": "2"}, ALONE),
    ],
)
def test_launchers_say_which_process_this_is(
    environment: Mapping[str, str], expected: Ranks
) -> None:
    assert ranks_of(environment) == expected


def test_launchers_that_leave_out_what_matters_are_refused() -> None:
    environment = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_NUM_NODES": "2"}
    with pytest.raises(UserError, match="srun started 5 tasks without --ntasks-per-node"):
        ranks_of(environment)
    with pytest.raises(UserError, match="found 5 processes on 2 machines"):
        ranks_of(environment | {"SLURM_NTASKS_PER_NODE": "3"})


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5), world=st.integers(1, 12))
def test_every_window_of_a_step_belongs_to_one_process(sizes: list[int], world: int) -> None:
    rows = [own_rows(sizes, Ranks(rank=rank, world=world)) for rank in range(world)]
    found = [
        (place, row)
        for own in rows
        for place, part in own.items()
        for row in range(sizes[place])[part]
    ]
    assert found == [(place, row) for place, size in enumerate(sizes) for row in range(size)]
    shares = [sum(part.stop - part.start for part in own.values()) for own in rows]
    assert max(shares) - min(shares) <= 1


def gradients(sessions: list[Session], ranks: Ranks, step: int) -> dict[str, torch.Tensor]:
    """What a process contributes to the average over processes."""
    config = tiny(*SETTINGS)
    torch.manual_seed(0)
    model = build(config.model, [session.info for session in sessions]).train()
    for session in sessions:
        set_up_session(model, session)
    module = TrainingModule(model, sessions, config, Path(), 6, ranks=ranks)
    ((_, parts),) = Steps(sessions, config, step, step + 1, ranks)
    module.training_step((step, parts), 0).backward()
    return {k: p.grad / ranks.world for k, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("world", [2, 3, 20])
@pytest.mark.parametrize("step", [0, 3])
def test_the_gradients_of_all_processes_add_up_to_that_of_one(
    data: Path, world: int, step: int
) -> None:
    sessions = open_sessions(data, tiny().data)
    alone = gradients(sessions, ALONE, step)
    shares = [gradients(sessions, Ranks(rank=r, world=world), step) for r in range(world)]
    assert set().union(*shares) == alone.keys()
    for name, expected in alone.items():
        total = sum(share[name] for share in shares if name in share)
        torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-5)


def test_a_single_process_is_asked_and_told_nothing() -> None:
    assert gathered({"a": 1}, ALONE) == [{"a": 1}]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sessions of very different length, one of a single training trial."""
    folder = tmp_path_factory.mktemp("uneven")
    write_recording(folder, "long", split="a" * 23 + "v" * 4 + "e" * 4, units=7)
    write_recording(folder, "short", split="a" * 3 + "v", units=4, seed=1)
    write_recording(folder, "single", split="a", units=3, seed=2)
    return folder


def in_processes(number: int, data: Path, out: Path, *more: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += [f"--nproc-per-node={number}", "-m", "neuroduet", "train", "--data", str(data)]
    words += ["--out", str(out), "--set", *SMALL, *SETTINGS, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)


def test_two_processes_train_the_weights_of_one_and_go_on_with_its_run(
    uneven: Path, tmp_path: Path
) -> None:
    alone = train(tiny(*SETTINGS), uneven, tmp_path / "alone")

    with pytest.raises(Killed):
        train(tiny(*SETTINGS), uneven, tmp_path / "two", report=killer(1))
    assert checkpoint(tmp_path / "two")[1]["step"] == 2
    found = in_processes(2, uneven, tmp_path / "two", "--resume")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("the run is in") == 1
    expected, weights = model_weights(alone), model_weights(tmp_path / "two")
    assert expected.keys() == weights.keys()
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=TOLERANCE)
    rows, rows_ = metrics(alone), metrics(tmp_path / "two")
    assert [row["step"] for row in rows] == [row["step"] for row in rows_] == ["2", "4", "6"]
    for row, row_ in zip(rows, rows_, strict=True):
        assert row.keys() == row_.keys()
        for name in row:
            assert float(row[name] or 0) == pytest.approx(float(row_[name] or 0), abs=2e-3)
    assert len(load_run(tmp_path / "two").sessions) == 3


def test_the_steps_of_srun_are_recognised(uneven: Path, tmp_path: Path) -> None:
    alone = train(tiny(*SETTINGS), uneven, tmp_path / "alone")
    words = [sys.executable, "-m", "neuroduet", "train", "--data", str(uneven)]
    words += ["--out", str(tmp_path / "two"), "--set", *SMALL, *SETTINGS]
    job = {"JOB_ID": str(os.getpid()), "JOB_NAME": "train", "NNODES": "1", "NODELIST": "localhost"}
    job |= {"NTASKS": "2", "NTASKS_PER_NODE": "2", "NODEID": "0"}
    job |= {"STEP_NUM_TASKS": "2", "STEP_NUM_NODES": "1"}
    started = []
    for rank in ("0", "1"):
        own = {f"SLURM_{k}": v for k, v in (job | {"PROCID": rank, "LOCALID": rank}).items()}
        environment = {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        started.append(subprocess.Popen(words, env=environment))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    weights = model_weights(tmp_path / "two")
    for name, value in model_weights(alone).items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=TOLERANCE)


def test_processes_that_load_ahead_change_nothing(data: Path, tmp_path: Path) -> None:
    runs = [
        train(tiny(*SETTINGS, f"training.workers={workers}"), data, tmp_path / str(workers))
        for workers in (0, 2)
    ]
    assert same(model_weights(runs[0]), model_weights(runs[1]))
    assert same(checkpoint(runs[0])[0], checkpoint(runs[1])[0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["training.members=2"], "training.members is 2 and 2 processes"),
        (["loss.kind=published"], "loss.kind=published is no mean over windows that 2 processes"),
    ],
)
def test_what_processes_cannot_divide_is_refused(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: list[str],
    sentence: str,
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=sentence):
        train(tiny(*settings), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_explodes_ends_the_run_and_keeps_its_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    sessions = open_sessions(data, tiny().data)
    config = tiny(*SETTINGS)
    model = build(config.model, [session.info for session in sessions])

    def spoil(progress: Progress, used: float, scores: dict[str, float]) -> None:
        with torch.no_grad():
            model.hidden_activity.fill_(float("inf"))

    with pytest.raises(UserError, match="step 2: training has diverged; lower training.learning"):
        fit(model, sessions, config, tmp_path / "run", report=spoil)
    tensors, notes = checkpoint(tmp_path / "run")
    assert notes["step"] == 2
    assert all(x.isfinite().all() for x in tensors.values())


def test_a_gradient_that_explodes_never_reaches_the_weights(data: Path, tmp_path: Path) -> None:
    sessions = open_sessions(data, tiny().data)
    config = tiny(*SETTINGS)
    model = build(config.model, [session.info for session in sessions])
    model.hidden_activity.register_hook(lambda grad: grad * float("inf"))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(UserError, match="the gradient is (nan|inf) at step 0"):
        fit(model, sessions, config, tmp_path / "run")
    assert same(before, {name: p.detach() for name, p in model.named_parameters()})
