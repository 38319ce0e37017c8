"""Text files of numbers and words, read so that damage is found where it is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuroduet.errors import UserError

_SEPARATORS = (",", ";", "\t")
_MISSING = {"", "na", "nan", "none", "null"}


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, without the empty ones at its end.

    Args:
        path: File in UTF-8, with any kind of line ends.

    Raises:
        UserError: The file is missing, empty or no text.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8 (byte {error.start}); export it again as plain text"
        ) from None
    if "\0" in text:
        raise UserError(f"{path} holds bytes that are no text; export it again as plain text")
    lines = text.splitlines()
    # Blanks at the end of a line may be empty cells, so only whole lines are taken away.
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UserError(f"{path} is empty; export it again")
    return lines


def separator_of(header: str) -> str:
    """Whether the cells of a line are separated by commas, semicolons or tabs."""
    return max(_SEPARATORS, key=header.count)


def cells(line: str, separator: str) -> list[str]:
    """The cells of one line, without blanks around them."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:  # a cell longer than any table has
        return [line]


def rows_of(path: Path, lines: Sequence[str], first: int, separator: str) -> list[list[str]]:
    """The rows of a table that may hold quoted text.

    Args:
        path: File, for the error.
        lines: Its lines.
        first: Line of the header, counted from 0.
        separator: See :func:`separator_of`.

    Returns:
        Cells of the header and of every row under it that is not empty.

    Raises:
        UserError: A row is shorter or longer than the header.
    """
    reader = csv.reader(StringIO("\n".join(lines[first:])), delimiter=separator)
    try:
        rows = [[cell.strip() for cell in row] for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise UserError(f"{path} is no table ({error}); export it again") from None
    for number, row in enumerate(rows[1:], start=first + 2):
        if len(row) != len(rows[0]):
            raise UserError(
                f"{path}, row {number}: found {len(row)} cells, expected {len(rows[0])} as in the "
                "header; the file is cut off or damaged, export it again"
            )
    return rows


def numbers_of(
    path: Path, lines: Sequence[str], first: int, width: int, separator: str = ","
) -> Float[np.ndarray, "T C"]:
    """The numbers under the header of a table; empty cells are NaN.

    Args:
        path: File, for the error.
        lines: Its lines.
        first: First line of numbers, counted from 0.
        width: Number of columns.
        separator: See :func:`separator_of`.

    Raises:
        UserError: There is no row, a row is shorter or longer, or a cell is no number.
    """
    body = lines[first:]
    if not body:
        raise UserError(f"{path} holds a header and no rows; export it again")
    for number, line in enumerate(body, start=first + 1):
        if line.count(separator) != width - 1:
            raise UserError(
                f"{path}, line {number}: found {line.count(separator) + 1} cells, expected "
                f"{width} as in the header; the file is cut off or damaged, export it again"
            )
    table = np.empty((len(body), width))
    try:
        for row, line in enumerate(body):
            table[row] = _values(line.split(separator))
    except ValueError:
        _name_the_cell(path, body, first, separator)
        raise
    return table


def _values(words: list[str]) -> list[float]:
    try:
        return list(map(float, words))
    except ValueError:
        return [_value(word) for word in words]


def _value(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in _MISSING:
            return float("nan")
        raise


def _name_the_cell(path: Path, body: Sequence[str], first: int, separator: str) -> None:
    """Raise an error for the first cell that is no number."""
    for number, line in enumerate(body, start=first + 1):
        for column, cell in enumerate(line.split(separator), start=1):
            if not is_number(cell):
                raise UserError(
                    f"{path}, line {number}, column {column}: found '{cell.strip()[:40]}', "
                    "expected a number; correct the cell or export the file again"
                )


def is_number(cell: str) -> bool:
    """Whether a cell holds a number or nothing."""
    try:
        _value(cell)
    except ValueError:
        return False
    return True


def number_in(path: Path, row: int, column: str, cell: str) -> float:
    """The number in a cell of a table of words.

    Args:
        path: File, for the error.
        row: Its line, counted from 1, for the error.
        column: Name of the column, for the error.
        cell: Its text; a decimal comma is understood.

    Raises:
        UserError: It holds no finite number.
    """
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(
            f"{path}, row {row}, column '{column}': found '{cell}', expected a number; correct "
            "the cell or leave the row out"
        )
    return value


def require_frames_in_order(path: Path, frames: Float[np.ndarray, " T"]) -> None:
    """Make sure that the column of frame numbers counts every frame once.

    Args:
        path: File, for the error.
        frames: Numbers of the frames as the file gives them.

    Raises:
        UserError: It does not count 0, 1, 2 ...
    """
    wrong = np.flatnonzero(frames != np.arange(len(frames)))
    if len(wrong):
        found, expected = frames[wrong[0]], int(wrong[0])
        raise UserError(
            f"{path}, first column: found frame {found:g} where frame {expected} was expected; "
            "rows are missing, doubled or out of order: export every frame once, from 0 on"
        )
