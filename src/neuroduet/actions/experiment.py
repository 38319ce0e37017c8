"""What experiments with many fits share: the learners compared, and going on after a stop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from neuroduet.atomic import replacing
from neuroduet.errors import UserError

Labels = Int[np.ndarray, " _"]


class Learner(Protocol):
    """What an experiment asks of a segmenter."""

    def fit(self, recordings: Sequence[np.ndarray], labels: Sequence[Labels]) -> Any:
        """Learn from recordings and labels."""
        ...

    def predict_proba(self, recordings: Sequence[np.ndarray]) -> list[Float[np.ndarray, "_ _"]]:
        """Probability of every class in every frame."""
        ...


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the learners compared.

    Attributes:
        model: Name of the model.
        features: Name of its features.
        make: From a seed to a learner that is not fitted yet.
        setup: Everything else about it, in words; results are not taken up again if it differs.
    """

    model: str
    features: str
    make: Callable[[int], Learner]
    setup: str = ""

    @property
    def name(self) -> str:
        """Model and features."""
        return f"{self.model}, {self.features}"


def fingerprint(arrays: Sequence[np.ndarray], *words: object) -> str:
    """A short text that differs if any array or word does."""
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8)
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def known_rows(file: Path | None, key: Sequence[str], setups: Mapping[tuple, str]) -> pd.DataFrame:
    """Rows that an experiment has already written.

    Args:
        file: Table (.csv) with the column ``setup``; it need not exist.
        key: Columns that tell one fit from another.
        setups: Setup of each fit that is wanted now.

    Returns:
        Rows of the wanted fits; those of other fits stay in the file.

    Raises:
        UserError: A fit in the file was made from other data or in another way.
    """
    if file is None or not file.is_file():
        return pd.DataFrame(columns=[*key, "setup"])
    table = _read(file)
    if missing := {*key, "setup"} - set(table.columns):
        raise UserError(
            f"{file} has no column {', '.join(sorted(missing))}, so it is no table of this "
            "experiment; choose another file"
        )
    wanted = [setups.get(fit) for fit in table[list(key)].itertuples(index=False, name=None)]
    for setup, known, fit in zip(wanted, table["setup"], table[list(key)].values, strict=True):
        if setup not in (None, known):
            raise UserError(
                f"{file} has results of {', '.join(map(str, fit))} from other data or options; "
                "choose another file or remove it"
            )
    return table[[setup is not None for setup in wanted]]


def add_rows(file: Path | None, rows: pd.DataFrame) -> None:
    """Add rows to a table; the file is whole at every moment."""
    if file is None:
        return
    old = [_read(file)] if file.is_file() else []
    with replacing(file) as temporary:
        pd.concat([*old, rows]).to_csv(temporary, index=False)


def _read(file: Path) -> pd.DataFrame:
    # A class may be called NA; only an empty cell is a missing number.
    words = {"setup": str, "class": str}
    return pd.read_csv(file, dtype=words, keep_default_na=False, na_values=[""])
