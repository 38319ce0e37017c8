"""Simulated recordings that all training tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated sessions of sixty trials."""
    from neuroduet.simulate import simulate

    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder, 2, 0, "tiny")
    return folder


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    """Training sets the number of threads of the process; other tests keep theirs."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
