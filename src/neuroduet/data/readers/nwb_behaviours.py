"""Which behaviours an NWB file offers: all of them, or what a mapping file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict
from torch_brain.data import ArrayDict, IrregularTimeSeries

from neuroduet.data.drift import drift_of, drift_said
from neuroduet.data.readers.assembly import Offer
from neuroduet.data.readers.nwb_series import find_series, read_series
from neuroduet.data.readers.speed import speed_series
from neuroduet.data.schema import KNOWN_SOURCES
from neuroduet.errors import unknown


class NwbBehaviour(BaseModel):
    """Where a behaviour of an NWB file stands.

    Attributes:
        series: Name of a time series, or ``trials.<column>``.
        speed: Whether the series is a position whose speed is the behaviour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    series: str
    speed: bool = False


def _short(given: Any) -> Any:
    return {"series": given} if isinstance(given, str) else given


class NwbChoice(BaseModel):
    """What a mapping file may say of an NWB file.

    Attributes:
        behaviours: Source of each behaviour to offer. All series, and the trial columns whose
            names are known, if not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    behaviours: dict[str, Annotated[NwbBehaviour, BeforeValidator(_short)]] | None = None


def add_speeds(groups: dict[str, ArrayDict], choice: NwbChoice, source: str) -> None:
    """Add the speeds that a mapping asks for, each as a group of its own.

    Args:
        groups: Groups of the recording; speeds are added.
        choice: What the mapping says.
        source: File, for errors.

    Raises:
        UserError: There is no such series, or too little of it.
    """
    series = _series(groups)
    for name, given in (choice.behaviours or {}).items():
        if not given.speed:
            continue
        if given.series not in series:
            raise unknown(f"series of the behaviour '{name}'", given.series, sorted(series))
        where = f"{source} {given.series}"
        groups[_speed_name(given.series)] = speed_series(series[given.series], where)


def drifting(file: h5py.File, choice: NwbChoice, source: str) -> tuple[str, ...]:
    """A sentence about each series that would be offered as it is, and drifts.

    Args:
        file: The open file.
        choice: What the mapping says.
        source: File, for errors.

    Raises:
        UserError: A series is damaged.
    """
    found = {one.name: one for one in find_series(file) if not one.why_not}
    offered = {name: name for name in found}
    if choice.behaviours is not None:
        offered = {name: given.series for name, given in choice.behaviours.items()
                   if not given.speed and given.series in found}  # fmt: skip
    said = []
    for name, series in offered.items():
        read = read_series(found[series], source)
        if read is None:
            continue
        share = drift_of(read.timestamps, read.values.astype(np.float64))
        said += [] if share is None else [drift_said(name, share)]
    return tuple(said)


def offers_of(
    groups: dict[str, ArrayDict], choice: NwbChoice, mapping: Path | None
) -> tuple[Offer, ...]:
    """Behaviours to offer.

    Args:
        groups: Groups of the recording, with :func:`add_speeds`.
        choice: What the mapping says.
        mapping: The mapping file, for errors.

    Raises:
        UserError: The mapping names what is not there.
    """
    series = list(_series(groups))
    if choice.behaviours is not None:
        return tuple(_chosen(name, given, groups, series, str(mapping))
                     for name, given in choice.behaviours.items())  # fmt: skip
    offers = [
        Offer(name=name, source=f"{name}.values", kind="continuous", per="bin") for name in series
    ]
    trials = groups.get("trials", ArrayDict())
    named = set(series)
    for known, (name, kind, per) in KNOWN_SOURCES.items():
        group, _, field = known.partition(".")
        if group == "trials" and field in trials and name not in named:
            named.add(name)
            offers.append(Offer(name=name, source=known, kind=kind, per=per))
    return tuple(offers)


def _series(groups: dict[str, ArrayDict]) -> dict[str, IrregularTimeSeries]:
    return {name: group for name, group in groups.items()
            if isinstance(group, IrregularTimeSeries) and "values" in group}  # fmt: skip


def _speed_name(series: str) -> str:
    """Name of the group of a speed; names of series have no two underscores in a row."""
    return f"{series}__speed"


def _chosen(
    name: str, given: NwbBehaviour, groups: dict[str, ArrayDict], series: list[str], mapping: str
) -> Offer:
    trials = groups.get("trials", ArrayDict())
    columns = [f"trials.{field}" for field in trials.keys()]  # noqa: SIM118
    if given.series in series:
        group = _speed_name(given.series) if given.speed else given.series
        return Offer(name=name, source=f"{group}.values", kind="continuous", per="bin")
    if given.series not in columns:
        what = f"source of the behaviour '{name}' in {mapping}"
        raise unknown(what, given.series, series + columns)
    values = np.asarray(getattr(trials, given.series.partition(".")[2]))
    many = values.dtype.kind == "f" and len(np.unique(values[np.isfinite(values)])) > 20
    return Offer(
        name=name, source=given.series, kind="continuous" if many else "categorical", per="trial"
    )
