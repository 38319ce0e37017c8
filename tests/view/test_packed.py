"""Rows of an array in an archive are those that numpy reads, and few of them are in memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neuroduet.errors import UserError
from neuroduet.view import packed
from neuroduet.view.packed import open_rows

SAVE = {"plain": np.savez, "deflated": np.savez_compressed}


@pytest.mark.parametrize("way", SAVE)
@pytest.mark.parametrize("shape", [(500, 7), (50, 10, 7), (0, 7), (3, 0, 7)])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000), kind=st.sampled_from(["<f4", "<f8", "<i2"]), chunk=st.integers(1, 9)
)
def test_rows_come_in_any_order_from_any_archive(
    tmp_path: Path, way: str, shape: tuple[int, ...], seed: int, kind: str, chunk: int
) -> None:
    generator = np.random.default_rng(seed)
    values = (100 * generator.normal(size=shape)).astype(kind)
    SAVE[way](tmp_path / "rows.npz", other=np.arange(3), values=values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "CHUNK_BYTES", chunk * 100)
        patch.setattr(packed, "KEPT_BYTES", 300)
        patch.setattr(packed, "PIECE_BYTES", 13)
        take = open_rows(tmp_path / "rows.npz", "values")
        flat = values.reshape(-1, 7)
        for _ in range(3):
            rows = generator.integers(0, len(flat), 40 if len(flat) else 0)
            np.testing.assert_array_equal(take(rows), flat[rows])


def test_an_array_in_the_order_of_fortran_is_read_too(tmp_path: Path) -> None:
    values = np.asfortranarray(np.arange(24.0).reshape(4, 2, 3))
    np.savez_compressed(tmp_path / "rows.npz", values=values)
    take = open_rows(tmp_path / "rows.npz", "values")
    np.testing.assert_array_equal(take(np.array([7, 0])), values.reshape(8, 3)[[7, 0]])


def test_a_long_array_is_never_in_memory_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).normal(size=(40_000, 50)).astype(np.float32)
    np.savez_compressed(tmp_path / "rows.npz", values=values)
    monkeypatch.setattr(packed, "CHUNK_BYTES", 1 << 18)
    monkeypatch.setattr(packed, "KEPT_BYTES", 1 << 19)
    tracemalloc.start()
    take = open_rows(tmp_path / "rows.npz", "values")
    sums = [take(np.arange(first, first + 1000)).sum() for first in range(0, 40_000, 1000)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < values.nbytes / 2
    np.testing.assert_allclose(sums, values.reshape(40, -1).sum(axis=1), rtol=1e-3, atol=0.1)


@pytest.mark.parametrize("values", [np.arange(3.0), np.array([["a", "b"]])])
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    np.savez(tmp_path / "rows.npz", values=values)
    with pytest.raises(UserError, match="expected rows of numbers"):
        open_rows(tmp_path / "rows.npz", "values")


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "rows.npz", values=np.zeros((40, 3)))
    content = (tmp_path / "rows.npz").read_bytes()
    (tmp_path / "rows.npz").write_bytes(content.replace(b"(40, 3)", b"(99, 3)"))
    with pytest.raises(UserError, match="rows.npz"):
        open_rows(tmp_path / "rows.npz", "values")
