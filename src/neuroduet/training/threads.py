"""How many threads a piece of work computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads; afterwards there are as many as before.

    Our matrices are small: more than one thread helps little on an idle machine, and on a busy
    one threads that wait for each other make evaluation two to three times slower.

    Args:
        count: Threads; ``None`` leaves them as they are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        with threadpool_limits(count):  # numpy's and scipy's own
            yield
    finally:
        torch.set_num_threads(before)
