"""The one property of every reader, for the tests of each kind of file."""

from __future__ import annotations

from random import Random

from cage import Cage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = 40
SLOW = {"run-folder": 3, "predictions": 5, "run": 15, "nwb": 20, "alf": 25}
"""Specimens that take longer, with how many examples of them are tried."""


def require_calm(cage: Cage, name: str) -> None:
    """Spoil files of a specimen: each is read or refused in one sentence, and nothing else.

    Args:
        cage: Where they are read.
        name: Key of ``SPECIMENS``.
    """

    @settings(
        max_examples=SLOW.get(name, EXAMPLES),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        outcome, how = cage.spoilt(name, Random(seed))
        assert outcome.fine, f"{how} (seed {seed}): {outcome}"
        assert "\n" not in outcome.said or outcome.kind == "read"

    check()
