"""A simulated data set in the layout of the benchmark, and tiny runs trained on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from training import tiny_runs

SMALL = [*tiny_runs.SMALL, "training.max_epochs=2", "training.learning_rate=0.01"]

EPOCHS = {"ts1": 2, "ts2": 12, "ts3": 1}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two evaluation and two pretraining recordings."""
    from neuroduet.simulate.brainwide import simulate_brainwide

    folder = tmp_path_factory.mktemp("published")
    simulate_brainwide(folder, 2, 2, seed=3, units=20)
    return folder


@pytest.fixture(scope="session")
def ready(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Recordings made ready for a suite."""
    from neuroduet.benchmark import stage_benchmark

    made: dict[str, Path] = {}

    def of(suite: str) -> Path:
        if suite not in made:
            made[suite] = tmp_path_factory.mktemp(suite)
            regimes = ("eval", "pretrain") if suite == "ts3" else ("eval",)
            stage_benchmark(published, suite, made[suite], regimes=regimes)
        return made[suite]

    return of


@pytest.fixture(scope="session")
def runs(
    ready: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Path]]:
    """Runs of the seeds 43 and 44 for a suite."""
    from neuroduet.config import Config, override
    from neuroduet.presets import mtm
    from neuroduet.training.fit import train

    made: dict[str, list[Path]] = {}

    def of(suite: str) -> list[Path]:
        if suite not in made:
            folder = tmp_path_factory.mktemp(f"runs-{suite}")
            base = Config() if suite == "ts1" else mtm()
            made[suite] = [
                train(
                    override(
                        base,
                        [
                            *SMALL,
                            f"training.seed={seed}",
                            f"training.max_epochs={EPOCHS[suite]}",
                        ],
                    ),
                    ready(suite),
                    folder / str(seed),
                )
                for seed in (43, 44)
            ]
        return made[suite]

    return of


@pytest.fixture
def small() -> list[str]:
    """Settings of a tiny model."""
    return SMALL


@pytest.fixture
def recording() -> Any:
    """One evaluation recording in memory."""
    from neuroduet.simulate.brainwide import simulate_recording

    return simulate_recording(seed=3, index=0, units=20)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """Training sets the number of threads of the process; other tests keep theirs."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
