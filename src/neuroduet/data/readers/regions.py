"""Names of brain regions at the levels at which IBL groups them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Int

from neuroduet.data.readers.reader import RegionLevel

UNKNOWN = "unknown"
"""Region of a unit whose place nobody recorded."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One structure of the Allen Common Coordinate Framework (2017).

    Attributes:
        allen: Its own acronym, e.g. ``VISp5``.
        beryl: Acronym of its region at Beryl level, e.g. ``VISp``.
        cosmos: The same at Cosmos level, e.g. ``Isocortex``.
    """

    allen: str
    beryl: str
    cosmos: str


@cache
def region_table() -> dict[int, Region]:
    """Every structure by its Allen id (source: first line of ``regions.csv``)."""
    text = (files("neuroduet.data.readers") / "regions.csv").read_text(encoding="ascii")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        int(row["id"]): Region(allen=row["allen"], beryl=row["beryl"], cosmos=row["cosmos"])
        for row in rows
    }


def region_names(
    ids: Int[np.ndarray, " N"], level: RegionLevel
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Regions by Allen id.

    Args:
        ids: Allen id of each unit's place; negative in the left hemisphere, as IBL writes them.
        level: ``allen``, ``beryl`` or ``cosmos``.

    Returns:
        An acronym for each, ``allen-<id>`` where the table lacks the id; and those names.

    Example:
        >>> names, unknown = region_names(np.array([382, -10, 99999999]), "beryl")
        >>> names.tolist(), unknown
        (['CA1', 'SCm', 'allen-99999999'], ('allen-99999999',))
    """
    table = region_table()
    names, missing = [], []
    for number in np.abs(ids).tolist():
        known = table.get(number)
        names.append(getattr(known, level) if known else f"allen-{number}")
        if known is None:
            missing.append(names[-1])
    return np.array(names, dtype=np.str_), tuple(dict.fromkeys(missing))


def rename_regions(
    acronyms: Sequence[str], level: RegionLevel
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Regions by acronym.

    Args:
        acronyms: Allen acronyms, e.g. ``VISp5``.
        level: ``allen``, ``beryl`` or ``cosmos``.

    Returns:
        Acronyms at that level, as they are where the table lacks them; and those.

    Example:
        >>> names, unknown = rename_regions(["VISp5", "M1"], "cosmos")
        >>> names.tolist(), unknown
        (['Isocortex', 'M1'], ('M1',))
    """
    table = _by_acronym()
    names = [getattr(table[one], level) if one in table else one for one in acronyms]
    missing = dict.fromkeys(one for one in acronyms if one not in table and one != UNKNOWN)
    return np.array(names, dtype=np.str_), tuple(missing)


@cache
def _by_acronym() -> dict[str, Region]:
    return {region.allen: region for region in region_table().values()}
