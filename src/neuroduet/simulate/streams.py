"""Independent random streams of one seed."""

from __future__ import annotations

import numpy as np


def stream(seed: int, *key: int) -> np.random.Generator:
    """A random stream of its own for every key.

    More draws in one stream leave the others as they are.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
