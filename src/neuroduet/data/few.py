"""Splits that are too small to choose weights by, or to score."""

from __future__ import annotations

from collections.abc import Mapping

FEWEST = 10
"""Of fewer windows one more or less changes a score by more than a tenth."""

NAMED = 3
"""Sessions that a sentence names."""


def few_said(windows: Mapping[str, Mapping[str, int]]) -> str | None:
    """What to say of sessions with few validation or test windows.

    A session without any test window was divided by somebody who knows, such as an estimator.

    Args:
        windows: By session, how many windows each split has.

    Returns:
        One sentence; ``None`` if all have enough.

    Example:
        >>> few_said({"mouse1": {"train": 40, "valid": 10, "test": 12}})
    """
    few = [
        f"{name}: {counts['valid']} validation, {counts['test']} test"
        for name, counts in windows.items()
        if counts["test"] and min(counts["valid"], counts["test"]) < FEWEST
    ]
    if not few:
        return None
    more = f"; and {len(few) - NAMED} sessions more" if len(few) > NAMED else ""
    return (
        f"fewer than {FEWEST} validation or test windows ({'; '.join(few[:NAMED])}{more}), by "
        "which weights are chosen and scores made mostly by chance; record more, or divide "
        "windows otherwise (data.split, data.windows)"
    )
