from __future__ import annotations

import pytest

from neuroduet.data.few import few_said


def counts(valid: int, test: int) -> dict[str, int]:
    return {"train": 40, "valid": valid, "test": test}


@pytest.mark.parametrize(("valid", "test"), [(0, 30), (9, 30), (30, 9), (0, 1)])
def test_few_windows_to_choose_or_to_score_by_are_told(valid: int, test: int) -> None:
    said = few_said({"mouse1": counts(10, 10), "mouse2": counts(valid, test)})
    assert said is not None
    assert f"(mouse2: {valid} validation, {test} test)" in said
    assert "data.split" in said
    assert "mouse1" not in said


def test_enough_windows_are_nothing_to_tell() -> None:
    assert few_said({"mouse1": counts(10, 10), "mouse2": counts(100, 200)}) is None
    assert few_said({}) is None


def test_who_keeps_no_test_windows_knows_it() -> None:
    assert few_said({"mouse1": counts(4, 0)}) is None


def test_of_many_sessions_a_few_are_named() -> None:
    said = few_said({f"mouse{number}": counts(0, 3) for number in range(40)})
    assert said is not None
    assert "mouse2: 0 validation, 3 test; and 37 sessions more)" in said
