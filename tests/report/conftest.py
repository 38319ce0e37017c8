from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import HOSTILE, make_run

from neuroduet.report.page import write_report


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory) -> Path:
    """A run whose every name is an attempt to break the page; its report is written."""
    run = make_run(tmp_path_factory.mktemp("runs") / "hostile", HOSTILE, HOSTILE, HOSTILE)
    write_report(run)
    return run
