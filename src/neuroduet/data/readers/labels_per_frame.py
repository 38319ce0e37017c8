"""Labels with a row per frame: one-hot csv, and tables of states in parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from neuroduet.data.boundary import require_small_parquet
from neuroduet.data.readers.label_track import FrameLabels, one_of
from neuroduet.data.readers.text_tables import (
    cells,
    numbers_of,
    read_lines,
    require_frames_in_order,
    separator_of,
)
from neuroduet.errors import UserError
from neuroduet.types import UNLABELLED

BACKGROUND = "background"
"""Column of frames that nobody labelled."""

_INDEX = ("", "frame", "frames", "index", "unnamed: 0")


def read_one_hot(path: Path) -> FrameLabels:
    """Read a csv with a column per class and one 1 in every row (daart, DeepEthogram).

    Args:
        path: File; its first column may number the frames. ``background`` means unlabelled, and
            stands first. Without it, a row may hold no 1 at all.

    Returns:
        The labels; rows with several behaviours are unlabelled and counted.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    lines = read_lines(path)
    separator = separator_of(lines[0])
    header = cells(lines[0], separator)
    values = numbers_of(path, lines, 1, len(header), separator)
    if header[0].lower() in _INDEX:
        require_frames_in_order(path, values[:, 0])
        header, values = header[1:], values[:, 1:]
    return _of_columns(path, "one-hot csv", header, values)


def read_states(path: Path, column: str | None = None) -> FrameLabels:
    """Read a parquet table of states, such as the published paw states of IBL.

    Args:
        path: Parquet file with a row per frame: one column of text that names the state, or a
            column of probabilities (or of zeros and a one) per state.
        column: Column of text to read, where there are several.

    Returns:
        The labels: the named state, or the most probable one; missing values are unlabelled.

    Raises:
        UserError: The file does not look like that, or is damaged.
    """
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path")
    try:
        require_small_parquet(path)
        table = parquet.read_table(path)
    except (arrow.ArrowInvalid, OSError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"{path} is damaged or no parquet ({reason}); fetch it again") from error
    if table.num_rows == 0:
        raise UserError(f"{path} holds no rows; fetch it again")
    columns = {str(name): table[name].to_numpy() for name in table.column_names}
    words = [name for name, values in columns.items() if values.dtype.kind in "OUS"]
    if words or column is not None:
        chosen = one_of(path, "column", words, column)
        assert chosen is not None
        return _of_words(f"states in parquet ({chosen})", columns[chosen])
    names = [
        name for name in columns if name.lower() not in (*_INDEX, "times", "__index_level_0__")
    ]
    bad = [name for name in names if columns[name].dtype.kind not in "iufb"]
    if bad or len(names) < 2:
        raise UserError(
            f"{path} holds the columns {', '.join(columns)}, expected one of text or a "
            "probability for each state; fetch the file again"
        )
    values = np.stack([columns[name].astype(np.float64) for name in names], axis=1)
    return _most_probable(path, names, values)


def _of_columns(path: Path, format: str, names: Sequence[str], values: np.ndarray) -> FrameLabels:
    _require_names(path, names)
    bad = ~np.isin(values, (0.0, 1.0))
    if bad.any():
        row, place = np.argwhere(bad)[0]
        raise UserError(
            f"{path}, line {row + 2}, column '{names[place]}': found {values[row, place]:g}, "
            "expected 0 or 1; export one-hot labels"
        )
    named = [name for name in names if name.lower() != BACKGROUND]
    ones = values.astype(np.int64)
    if len(named) < len(names):
        if names[0].lower() != BACKGROUND:
            raise UserError(
                f"{path}: the column '{BACKGROUND}' stands after others, expected it first; "
                "reorder the columns"
            )
        background, ones = ones[:, 0], ones[:, 1:]
        wrong = np.flatnonzero((background == 1) == (ones.sum(1) > 0))
        if len(wrong):
            row = wrong[0]
            raise UserError(
                f"{path}, line {row + 2}: found {background[row] + ones[row].sum()} ones with the "
                f"{BACKGROUND}, expected exactly one; correct the row"
            )
    several = ones.sum(1) > 1
    classes = np.where(ones.sum(1) == 1, ones.argmax(1), UNLABELLED)
    return FrameLabels(
        format=format,
        classes=classes,
        names=tuple(named),
        overlapping=int(several.sum()),
    )


def _of_words(format: str, values: np.ndarray) -> FrameLabels:
    words = ["" if value is None or value != value else str(value) for value in values]
    known = sorted({word for word in words if word and word.lower() != BACKGROUND})
    code = {name: number for number, name in enumerate(known)}
    classes = np.array([code.get(word, UNLABELLED) for word in words], dtype=np.int64)
    return FrameLabels(format=format, classes=classes, names=tuple(known))


def _most_probable(
    path: Path, names: Sequence[str], values: Float[np.ndarray, "T K"]
) -> FrameLabels:
    _require_names(path, names)
    given = np.isfinite(values).all(1)
    outside = given & ((values < 0) | (values > 1 + 1e-3)).any(1)
    unclear = given & (np.abs(values.sum(1) - 1) > 1e-2)
    for bad, said in ((outside, "a value outside 0 to 1"), (unclear, "values that do not add up")):
        if bad.any():
            raise UserError(
                f"{path}, row {np.flatnonzero(bad)[0]}: found {said}, expected the probability of "
                f"each of {', '.join(names)}; fetch the file again"
            )
    best = np.where(given, np.where(given[:, None], values, 0).argmax(1), UNLABELLED)
    shift = 1 if names[0].lower() == BACKGROUND else 0
    classes: Int[np.ndarray, " T"] = np.where(best >= shift, best - shift, UNLABELLED)
    lost = int((~given).sum())
    return FrameLabels(
        format="states in parquet (most probable)",
        classes=classes.astype(np.int64),
        names=tuple(names[shift:]),
        notes=(f"{lost:,} frames without probabilities stay unlabelled",) if lost else (),
    )


def _require_names(path: Path, names: Sequence[str]) -> None:
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if "" in names or doubled:
        said = f"'{doubled[0]}' twice" if doubled and doubled[0] else "an empty name"
        raise UserError(f"{path}: the header holds {said}; give every class its own name")
    if not [name for name in names if name.lower() != BACKGROUND]:
        raise UserError(f"{path}: found no class beside {BACKGROUND}; add columns of classes")
