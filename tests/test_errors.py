from __future__ import annotations

import pytest

from neuroduet.errors import UserError, unknown


def test_a_user_error_is_a_value_error() -> None:
    assert issubclass(UserError, ValueError)


def test_a_misspelt_name_gets_the_nearest_one_first() -> None:
    error = unknown("session", "mosue1", ["cat1", "mouse1"])
    assert str(error) == "unknown session 'mosue1'; did you mean 'mouse1'? known: cat1, mouse1"


def test_a_name_like_no_other_gets_the_list() -> None:
    assert str(unknown("task", "xyz", ["encoding"])) == "unknown task 'xyz'; known: encoding"


@pytest.mark.parametrize(("count", "ends"), [(20, "s19"), (21, "s19 ...")])
def test_long_lists_are_cut_after_twenty_names(count: int, ends: str) -> None:
    assert str(unknown("session", "?", (f"s{i}" for i in range(count)))).endswith(ends)
