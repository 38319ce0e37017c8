"""What the sessions of a run hold: units, regions, rates, trials and hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from neuroduet.data.boundary import read_npz
from neuroduet.errors import UserError
from neuroduet.report.folder import RunFolder
from neuroduet.report.sheet import LONG, Table, cells
from neuroduet.report.style import INK, MODEL, Plate, grid, logarithmic, plate, short, styled
from neuroduet.report.words import defined
from neuroduet.types import is_region

SPLITS = ("train", "valid", "test")
MAX_REGIONS = 24
COLUMNS = (
    *("session", "subject", "units", "regions", "median rate", "bin"),
    *("longest window", *SPLITS, "hours in windows"),
)


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What one session holds.

    Attributes:
        session: Session id.
        subject: Subject id; empty if unknown.
        units: Number of units.
        regions: Region of each unit; empty if the recording does not say.
        rates_hz: Mean rate of each unit that was scored; ``(U,)``, empty if none was.
        bin_size_s: Bin width (s); ``nan`` if unknown.
        max_bins: Bins of the longest window; 0 if unknown.
        windows: Number of windows of each split; empty if unknown.
        hours: Length of all windows together (h); ``nan`` if unknown.
        by_trial: Whether windows are trials.
    """

    session: str
    subject: str
    units: int
    regions: tuple[str, ...]
    rates_hz: np.ndarray
    bin_size_s: float
    max_bins: int
    windows: Mapping[str, int]
    hours: float
    by_trial: bool


def holdings(folder: RunFolder) -> tuple[Holding, ...]:
    """What each session of a run holds, from its model, scores and predictions.

    Args:
        folder: The run.

    Returns:
        One for each session the model knows.
    """
    rates = _rates(folder.units)
    return tuple(
        _holding(name, one, folder, rates.get(name, np.zeros(0)))
        for name, one in folder.sessions.items()
    )


def _holding(
    name: str, description: Mapping[str, Any], folder: RunFolder, rates_hz: np.ndarray
) -> Holding:
    regions = description.get("regions")
    windows, hours, by_trial = _windows(folder, name)
    bin_size_s, bins = description.get("bin_size_s"), description.get("max_bins")
    return Holding(
        session=name,
        subject=str(description.get("subject", "")),
        units=len(description.get("units") or ()),
        regions=tuple(str(one) for one in regions) if isinstance(regions, list) else (),
        rates_hz=rates_hz,
        bin_size_s=float(bin_size_s) if isinstance(bin_size_s, int | float) else float("nan"),
        max_bins=int(bins) if isinstance(bins, int | float) and np.isfinite(bins) else 0,
        windows=windows,
        hours=hours,
        by_trial=by_trial,
    )


def _windows(folder: RunFolder, name: str) -> tuple[dict[str, int], float, bool]:
    """Windows of each split, their length together (h), and whether they are trials."""
    try:
        found = read_npz(folder.predictions[name], ("split", "valid", "trial", "bin_size_s"))
        split, valid = found["split"].astype(str), found["valid"]
        if split.ndim == 1 and valid.ndim == 2 and len(split) == len(valid):
            hours = float(valid.sum() * found["bin_size_s"] / 3600)
            by_trial = bool((found.get("trial", np.zeros(0)) >= 0).any())
            return {one: int((split == one).sum()) for one in SPLITS}, hours, by_trial
    except (UserError, OSError, KeyError, TypeError, ValueError):
        pass  # said where the predictions are drawn
    counted = folder.environment.get("training_windows")
    n = counted.get(name) if isinstance(counted, dict) else None
    return ({"train": n} if isinstance(n, int) else {}), float("nan"), False


def _rates(units: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """Mean rates of scored units by session, each unit once."""
    if units is None or not {"session", "unit", "rate_hz"} <= set(units.columns):
        return {}
    once = units.drop_duplicates(["session", "unit"])
    rates = pd.to_numeric(once["rate_hz"], errors="coerce")
    known = once.assign(rate_hz=rates)[np.isfinite(rates) & (rates >= 0)]
    groups = known.groupby("session", sort=False)["rate_hz"]
    return {str(name): values.to_numpy(float) for name, values in groups}


def holdings_table(found: Sequence[Holding]) -> Table | None:
    """One row for each session.

    Args:
        found: See :func:`holdings`.

    Returns:
        The table, or ``None`` without sessions.
    """
    if not found:
        return None
    return Table(
        title="Sessions",
        columns=tuple(defined(name) for name in COLUMNS),
        rows=tuple(cells(*_texts(one)) for one in found),
        folded=len(found) > LONG,
    )


def _texts(one: Holding) -> tuple[str, ...]:
    named = set(filter(is_region, one.regions))
    window_s = one.max_bins * one.bin_size_s
    return (
        one.session,
        one.subject or "–",
        f"{one.units:,}",
        str(len(named)) if named else "–",
        f"{np.median(one.rates_hz):.1f} Hz" if len(one.rates_hz) else "–",
        f"{1000 * one.bin_size_s:g} ms" if np.isfinite(one.bin_size_s) else "–",
        f"{window_s:g} s" if np.isfinite(window_s) and window_s > 0 else "–",
        *(f"{one.windows[split]:,}" if split in one.windows else "–" for split in SPLITS),
        f"{one.hours:.2f}" if np.isfinite(one.hours) else "–",
    )


def unplaced_units(found: Sequence[Holding]) -> tuple[str, ...]:
    """Say how many units lie in no region, where others do.

    Args:
        found: See :func:`holdings`.

    Returns:
        A sentence, or none.
    """
    placed = [one for one in found if any(map(is_region, one.regions))]
    labels = [label for one in placed for label in one.regions]
    names = [label for label in labels if not is_region(label)]
    if not names:
        return ()
    said = sorted({repr(name.strip()) if name.strip() else "nothing" for name in names})
    return (
        f"{len(names)} of {len(labels)} units are labelled {', '.join(said)}, which names no "
        "region: intra- and inter-region prediction, decoding by region and the read-out of "
        "regions do not ask about them; all other tasks do.",
    )


@styled
def holdings_figure(found: Sequence[Holding]) -> Plate | None:
    """Draw units by region and the distribution of their mean rates.

    Args:
        found: See :func:`holdings`.

    Returns:
        The plate, or ``None`` if neither regions nor rates are known.
    """
    counts = Counter(region for one in found for region in one.regions if is_region(region))
    rates = np.concatenate([np.zeros(0), *(one.rates_hz for one in found)])
    rates = rates[rates > 0]
    if not counts and len(rates) == 0:
        return None
    rows = min(len(counts), MAX_REGIONS)
    figure, (left, right) = grid(2, 2, max(2.6, 0.8 + 0.2 * rows))
    _region_bars(left, counts)
    _rate_bars(right, rates)
    more = len(counts) - rows
    hidden = f" {more} smaller regions are not shown." if more > 0 else ""
    if nowhere := sum(not is_region(region) for one in found for region in one.regions):
        hidden += f" Not shown: {nowhere} units of no named region."
    return plate(
        figure,
        name="data",
        title="Units by region and rate",
        caption="Left: units of all sessions by brain region, as the recordings name it."
        f"{hidden} Right: mean firing rate of {len(rates)} units in test windows, on a "
        "logarithmic axis; dotted line: median.",
    )


def _region_bars(axes: Axes, counts: Counter[str]) -> None:
    if not counts:
        axes.text(0.5, 0.5, "no regions are named", transform=axes.transAxes, ha="center")
        axes.set_axis_off()
        return
    shown = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MAX_REGIONS]
    axes.barh(range(len(shown)), [n for _, n in shown], color=MODEL, height=0.7)
    for row, (_, n) in enumerate(shown):
        axes.text(n, row, f" {n:,}", va="center")
    axes.set_yticks(range(len(shown)), [short(name, 18) for name, _ in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.12)
    axes.set_xlabel("units")


def _rate_bars(axes: Axes, rates_hz: np.ndarray) -> None:
    if len(rates_hz) == 0:
        axes.text(0.5, 0.5, "no rates are stored", transform=axes.transAxes, ha="center")
        axes.set_axis_off()
        return
    low, high = float(rates_hz.min()), float(rates_hz.max())
    edges = np.geomspace(low / 1.05, high * 1.05, 25)
    axes.hist(rates_hz, edges.tolist(), color=MODEL)
    axes.axvline(float(np.median(rates_hz)), color=INK, linestyle=":", linewidth=1.2)
    logarithmic(axes)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("mean firing rate (Hz)")
    axes.set_ylabel("units")
    axes.set_title(f"median {np.median(rates_hz):.1f} Hz")
