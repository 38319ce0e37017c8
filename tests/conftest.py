"""Settings and fixtures of all tests.

Nothing of neuroduet is imported here at module level: the run-time shape checks are installed
after this file is read, and would miss what it imported.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Threads of several test processes that outnumber the cores wait for each other for minutes. It
# counts only before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A loaded machine makes single examples slow; that is no property of the code.
settings.register_profile(
    "neuroduet", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("neuroduet")


def pytest_collection_finish() -> None:
    """Training collects garbage at its end; what was imported need not be looked through again."""
    gc.collect()
    gc.freeze()


PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """Root of the project."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of recorded data; the test is skipped, and says so, where there is none."""
    folder = Path(os.environ.get("NEURODUET_SHARED_DATA", PROJECT / ".." / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recorded data at {folder}; set NEURODUET_SHARED_DATA to its folder")
    return folder


@pytest.fixture
def only_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray at a time: two that start together on few cores wait for each other's processes."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / "ray.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
