from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from viewed import Client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A viewer of a recording with everything, and somebody who asks it."""
    from viewed import Client, everything

    from neuroduet.view import serve

    with serve(everything(tmp_path / "day1.h5")) as view:
        yield Client(view)
