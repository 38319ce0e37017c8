"""Spoilt files: recordings and arrays of every reader."""

from __future__ import annotations

import pytest
from cage import Cage
from fuzzing import require_calm

NAMES = (
    "recording",
    "nwb",
    "alf",
    "rows-parquet",
    "rows-arrow",
    "npz",
    "mat",
    "mat-7.3",
    "acting-recording",
    "acting-arrays",
    "actions-answers",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_file_is_read_or_refused_in_one_sentence(cage: Cage, name: str) -> None:
    require_calm(cage, name)
