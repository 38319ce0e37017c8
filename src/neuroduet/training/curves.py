"""Learning curves: ``metrics.csv`` of a run folder, with a row for every validation."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from neuroduet.errors import UserError
from neuroduet.training.files import write_text

Row = dict[str, int | float]
"""``step`` (whole), ``minutes``, ``learning_rate``, ``train_loss/<name>`` and ``valid/<name>``."""


def write_curves(path: Path, rows: Sequence[Row]) -> None:
    """Write learning curves as a table; cells of columns that a row lacks are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_curves(path: Path) -> list[Row]:
    """Read what :func:`write_curves` wrote, without empty cells; no rows where it is missing.

    Raises:
        UserError: The file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with path.open(newline="") as file:
            rows = [
                {name: _number(name, text) for name, text in row.items() if text}
                for row in csv.DictReader(file)
            ]
        if any(not {"step", "minutes"} <= row.keys() for row in rows):
            raise ValueError("a row has no step or no minutes")
    except (ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path} is not a readable table of learning curves ({error}); restore or remove it"
        ) from None
    return rows


def valid_scores(row: Row) -> Row:
    """The validation scores of a row by target, without those that are no number."""
    columns = {name: x for name, x in row.items() if name.startswith("valid/")}
    return {name.removeprefix("valid/"): x for name, x in columns.items() if math.isfinite(x)}


def _number(column: str, text: str) -> int | float:
    # The step stays whole, so that a resumed run writes the same table as an unbroken one.
    return int(text) if column == "step" else float(text)
