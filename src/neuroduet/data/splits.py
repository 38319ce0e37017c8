"""Which windows train, which select, which test; and a check that they share no time."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from neuroduet.config import SplitConfig
from neuroduet.data.binning import EDGE
from neuroduet.data.windows import Windows
from neuroduet.errors import UserError

DROPPED = "dropped"
"""Split of windows that are used nowhere."""

_ORDER = ("train", "valid", "test")


def assign_splits(
    windows: Windows,
    config: SplitConfig,
    *,
    session: str,
    bin_size_s: float,
    given: np.ndarray | None = None,
) -> Windows:
    """Divide the windows of one session.

    Args:
        windows: Windows.
        config: How to divide them.
        session: Session id, part of the hash.
        bin_size_s: Width of a bin (s).
        given: The column ``trials.split``, if the recording has it.

    Returns:
        The same windows with their splits.

    Raises:
        UserError: The split cannot be made, leaves no training window, or lets windows of
            different splits overlap in time.
    """
    _check_fractions(config)
    kind = config.kind
    if kind == "auto":
        by_trial = bool((windows.trial >= 0).all()) and len(np.unique(windows.trial)) == len(
            windows
        )
        kind = "given" if given is not None else "random" if by_trial else "blocked"
    if kind == "given":
        split = given_split(windows.trial, given, session)
    elif kind == "random":
        single = len(np.unique(windows.trial)) == len(windows)
        keys = windows.trial if single else np.arange(len(windows))
        split = random_split(keys, session, config)
    else:
        split = blocked_split(windows.start_s, windows.end_s(bin_size_s), config)
    if not (split == "train").any():
        raise UserError(
            f"session {session}: a {kind} split of {len(windows)} windows leaves none for "
            "training; record more, or change data.split (fewer blocks, a smaller gap_s)"
        )
    divided = replace(windows, split=split)
    check_leakage(divided, bin_size_s, session)
    return divided


def random_split(keys: Int[np.ndarray, " W"], session: str, config: SplitConfig) -> np.ndarray:
    """Divide windows by the rank of a hash, whatever their order and the other sessions.

    Args:
        keys: What identifies each window in its session: its trial.
        session: Session id.
        config: Fractions and seed.

    Returns:
        Split of each window, ``(W,)``.
    """
    digests = [_digest(config.seed, session, int(key)) for key in keys]
    rank = np.argsort(np.argsort(np.array(digests, dtype="S16"), kind="stable"), kind="stable")
    train_end, valid_end = _edges(len(keys), config)
    names = np.array(_ORDER, dtype="<U7")
    return names[(rank >= train_end).astype(int) + (rank >= valid_end)]


def blocked_split(
    start_s: Float[np.ndarray, " W"], end_s: Float[np.ndarray, " W"], config: SplitConfig
) -> np.ndarray:
    """Divide windows into runs of neighbours: train, valid, test, and again, ``blocks`` times.

    Args:
        start_s: Start of each window (s).
        end_s: End of each window (s).
        config: Fractions, blocks and gap.

    Returns:
        Split of each window, ``(W,)``. Where runs of different splits come closer than ``gap_s``,
        windows of the larger split are dropped.
    """
    fractions = np.array([config.train, config.valid, 1 - config.train - config.valid])
    shares = np.tile(fractions, config.blocks) / config.blocks
    edges = np.round(np.cumsum(shares) * len(start_s) - EDGE).astype(int)
    edges[-1] = len(start_s)
    order = np.argsort(start_s, kind="stable")
    run = np.empty(len(start_s), dtype=int)
    run[order] = np.searchsorted(edges, np.arange(len(start_s)), side="right")
    split = np.array(_ORDER, dtype="<U7")[run % 3]
    kept = np.ones(len(start_s), dtype=bool)
    for i in np.unique(run):
        for j in np.unique(run):
            # The larger split gives way; of two equal ones, the one named first.
            if (-fractions[i % 3], i % 3) < (-fractions[j % 3], j % 3):
                low, high = start_s[run == j].min(), end_s[run == j].max()
                near = (start_s < high + config.gap_s) & (end_s > low - config.gap_s)
                kept &= ~(near & (run == i))
    return np.where(kept, split, DROPPED)


def given_split(
    trial: Int[np.ndarray, " W"], given: np.ndarray | None, session: str
) -> np.ndarray:
    """The split that the recording names for each trial; windows outside trials are dropped."""
    if given is None:
        raise UserError(
            f"session {session} has no column trials.split; set data.split.kind to random or "
            "blocked"
        )
    named = np.where(trial >= 0, np.asarray(given)[trial.clip(min=0)], DROPPED)
    return np.where(named == "", DROPPED, named).astype("<U7")


def check_leakage(windows: Windows, bin_size_s: float, session: str = "") -> None:
    """Refuse windows of different splits that overlap in time.

    Args:
        windows: Windows with their splits.
        bin_size_s: Width of a bin (s).
        session: Session id, for the error.

    Raises:
        UserError: Some do.
    """
    used = np.flatnonzero(windows.split != DROPPED)
    order = used[np.argsort(windows.start_s[used], kind="stable")]
    # Rounding a length to whole bins may let neighbouring trials share half a bin each.
    start_s, end_s = windows.start_s[order], windows.end_s(bin_size_s)[order]
    split = windows.split[order]
    overlapping = np.zeros(len(order), dtype=bool)
    for name in _ORDER:
        latest = np.maximum.accumulate(np.where(split == name, end_s, -np.inf))
        overlapping |= (split != name) & (start_s < latest - bin_size_s / 2 * (1 + EDGE))
    if overlapping.any():
        first = int(np.flatnonzero(overlapping)[0])
        raise UserError(
            f"session {session}: {int(overlapping.sum())} windows overlap windows of another "
            f"split (the first starts at {start_s[first]:.3f} s), so that a score would be partly "
            "memory; set data.split.kind to blocked, or make windows shorter (data.windows)"
        )


def _edges(n: int, config: SplitConfig) -> tuple[int, int]:
    """Number of training windows, and of training and validation windows together."""
    # 0.7 + 0.1 is less than 0.8 in binary, hence the small addition.
    train = int(config.train * n + EDGE)
    both = int((config.train + config.valid) * n + EDGE)
    # A single window is there to be learnt from.
    return max(train, min(n, 1)), max(both, min(n, 1))


def _digest(seed: int, session: str, key: int) -> bytes:
    text = f"{seed}/{session}/{key}".encode()
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


def _check_fractions(config: SplitConfig) -> None:
    if config.train + config.valid > 1 + EDGE:
        raise UserError(
            f"data.split.train {config.train} and data.split.valid {config.valid} add up to more "
            "than 1; leave something for the test split"
        )
