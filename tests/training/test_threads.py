from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from neuroduet.training.threads import using_threads


def counts() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info()]


def test_work_has_the_threads_it_asks_for_and_leaves_as_many_as_it_found() -> None:
    before, pools = torch.get_num_threads(), counts()
    inside = []

    def fails() -> None:
        with using_threads(1):
            inside.extend([torch.get_num_threads(), *counts()])
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert set(inside) == {1}
    assert torch.get_num_threads() == before
    assert counts() == pools


def test_no_number_leaves_the_threads_as_they_are() -> None:
    before = torch.get_num_threads()
    with using_threads(None):
        assert torch.get_num_threads() == before
