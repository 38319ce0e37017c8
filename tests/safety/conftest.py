"""One child process for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cage import Cage


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    """A process of its own that reads suspicious files."""
    made = Cage()
    yield made
    made.close()
