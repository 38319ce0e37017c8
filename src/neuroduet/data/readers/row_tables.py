"""Tables with a row per trial, in parquet or arrow files: where they lie, how to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuroduet.data.boundary import require_small_parquet
from neuroduet.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".arrow")
SPLITS = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
}
"""Names of splits in such data sets, and ours."""


def split_files(path: Path) -> dict[str, list[Path]]:
    """The files of each split of a data set, in the order train, valid, test.

    Args:
        path: Folder with files ``train-*.parquet`` (or in ``data/``), or with a folder per split
            that holds ``data-*.arrow``; or one such file, whose rows are all for training unless
            its name says otherwise.

    Returns:
        Files by our names of the splits; empty if there are none.
    """
    if path.is_file():
        return {_split_of(path) or "train": [path]} if path.suffix in SUFFIXES else {}
    files: dict[str, list[Path]] = {}
    for file in sorted(_candidates(path)):
        split = _split_of(file) or SPLITS.get(file.parent.name)
        if split is not None:
            files.setdefault(split, []).append(file)
    return {split: files[split] for split in ("train", "valid", "test") if split in files}


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet or arrow file.

    Args:
        path: File.
        columns: Columns to read; all if not given.

    Raises:
        UserError: The file is damaged or lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    if columns is not None:
        present = column_names(path)
        absent = [name for name in columns if name not in present]
        if absent:
            raise UserError(
                f"{path} lacks the columns {', '.join(absent)} (it has {', '.join(present)}), "
                "expected rows of trials with sparse spikes; download it again"
            )
    try:
        if path.suffix == ".parquet":
            require_small_parquet(path)
            return parquet.read_table(path, columns=None if columns is None else list(columns))
        table = _arrow(path)
        return table if columns is None else table.select(list(columns))
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def column_names(path: Path) -> tuple[str, ...]:
    """Names of the columns of a file.

    Raises:
        UserError: The file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        if path.suffix == ".parquet":
            return tuple(parquet.read_schema(path).names)
        return tuple(_arrow(path).schema.names)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _arrow(path: Path) -> pa.Table:
    """An arrow file; data sets are kept as streams, other programs write files."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        try:
            table = pa.ipc.open_stream(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_file(source).read_all()
    # Lists say where they start; unless somebody looks, they may start outside the file.
    table.validate(full=True)
    return table


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"{path} is damaged or incomplete ({reason}); download it again")


def _candidates(path: Path) -> list[Path]:
    folders = [path, path / "data", *(path / name for name in SPLITS)]
    return [
        file
        for folder in folders
        if folder.is_dir()
        for file in folder.iterdir()
        if file.suffix in SUFFIXES and not file.name.startswith((".", "cache-"))
    ]


def _split_of(file: Path) -> str | None:
    return SPLITS.get(file.name.split("-")[0].split(".")[0])


def data_sets(path: Path) -> list[Path]:
    """Every data set at or below a path, in the order of their names."""
    if split_files(path):
        return [path]
    if not path.is_dir():
        return []
    folders = sorted(one for one in path.iterdir() if _is_own_folder(one))
    return [found for folder in folders for found in data_sets(folder)]


def _is_own_folder(path: Path) -> bool:
    """A link could lead back to where it lies."""
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def concatenated(
    tables: Mapping[str, Sequence[pa.Table]], source: str
) -> tuple[pa.Table, list[str]]:
    """The rows of all splits one after the other, and the split of each.

    Args:
        tables: The files of each split.
        source: Data set, for errors.

    Raises:
        UserError: Columns of two files have types that do not fit each other.
    """
    import pyarrow as pa

    flat = [table for parts in tables.values() for table in parts]
    splits = [split for split, parts in tables.items() for table in parts
              for _ in range(len(table))]  # fmt: skip
    try:
        return pa.concat_tables(flat, promote_options="permissive"), splits
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{source} has files whose columns differ in type ({reason}), expected the same in "
            "every split; download it again"
        ) from error
