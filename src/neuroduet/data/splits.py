"""Which windows train, which select, which test; and a check that they share no time."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int

from neuroduet.config import SplitConfig
from neuroduet.data.binning import EDGE
from neuroduet.data.windows import Windows
from neuroduet.errors import UserError

log = logging.getLogger(__name__)

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
    if config.folds is not None:
        _check_folds(config.folds, kind, len(windows), session)
    if kind == "given":
        split = given_split(windows.trial, given, session)
    elif kind == "random":
        single = len(np.unique(windows.trial)) == len(windows)
        keys = windows.trial if single else np.arange(len(windows))
        split = random_split(keys, session, config)
    else:
        split = blocked_split(windows.start_s, windows.end_s(bin_size_s), config)
    _check_lost(split, kind, config, session)
    divided = replace(windows, split=split)
    check_leakage(divided, bin_size_s, session)
    return divided


def random_split(keys: Int[np.ndarray, " W"], session: str, config: SplitConfig) -> np.ndarray:
    """Divide windows by the rank of a hash, whatever their order and the other sessions.

    Folds are runs of equal length along these ranks; the ranks after the test fold, around the
    end, are for validation.

    Args:
        keys: What identifies each window in its session: its trial.
        session: Session id.
        config: Fractions, folds and seed.

    Returns:
        Split of each window, ``(W,)``.
    """
    digests = [_digest(config.seed, session, int(key)) for key in keys]
    rank = np.argsort(np.argsort(np.array(digests, dtype="S16"), kind="stable"), kind="stable")
    names = np.array(_ORDER, dtype="<U7")
    if config.folds is not None:
        edges = _fold_edges(len(keys), config.folds)
        n_test = edges[config.fold + 1] - edges[config.fold]
        turned = (rank - edges[config.fold]) % max(len(keys), 1)
        n_valid = int(config.valid * len(keys) + EDGE)
        return names[(turned < n_test).astype(int) + (turned < n_test + n_valid)]
    train_end, valid_end = _edges(len(keys), config)
    return names[(rank >= train_end).astype(int) + (rank >= valid_end)]


def blocked_split(
    start_s: Float[np.ndarray, " W"], end_s: Float[np.ndarray, " W"], config: SplitConfig
) -> np.ndarray:
    """Divide windows into runs of neighbours: train, valid, test, and again, ``blocks`` times.

    Args:
        start_s: Start of each window (s).
        end_s: End of each window (s).
        config: Fractions, blocks or folds, and gap.

    Returns:
        Split of each window, ``(W,)``. Where runs of different splits come closer than ``gap_s``,
        windows of the larger split are dropped; with folds never those of the test split.
    """
    if config.folds is not None:
        return _blocked_fold(start_s, end_s, config, config.folds)
    fractions = np.array([config.train, config.valid, 1 - config.train - config.valid])
    shares = np.tile(fractions, config.blocks) / config.blocks
    edges = np.round(np.cumsum(shares) * len(start_s) - EDGE).astype(int)
    edges[-1] = len(start_s)
    order = np.argsort(start_s, kind="stable")
    run = np.empty(len(start_s), dtype=int)
    run[order] = np.searchsorted(edges, np.arange(len(start_s)), side="right")
    split = np.array(_ORDER, dtype="<U7")[run % 3]
    # The larger split gives way; of two equal ones, the one named first.
    giving_way = sorted(range(3), key=lambda i: (-fractions[i], i))
    order_of = [_ORDER[i] for i in giving_way]
    return _keep_apart(start_s, end_s, run, split, order_of, config.gap_s)


def _blocked_fold(
    start_s: Float[np.ndarray, " W"],
    end_s: Float[np.ndarray, " W"],
    config: SplitConfig,
    folds: int,
) -> np.ndarray:
    """One run of neighbours for testing, and the middle of every other one for validation."""
    n = len(start_s)
    edges, n_valid = _fold_edges(n, folds), _fold_edges(int(config.valid * n + EDGE), folds - 1)
    split, run = np.full(n, "train", dtype="<U7"), np.empty(n, dtype=int)
    order = np.argsort(start_s, kind="stable")
    others = [fold for fold in range(folds) if fold != config.fold]
    for fold in range(folds):
        members = order[edges[fold] : edges[fold + 1]]
        run[members] = 3 * fold
        if fold == config.fold:
            split[members] = "test"
            continue
        size = n_valid[others.index(fold) + 1] - n_valid[others.index(fold)]
        first = max((len(members) - size) // 2, 0)
        split[members[first : first + size]] = "valid"
        run[members[first : first + size]] += 1
        run[members[first + size :]] += 2
    return _keep_apart(start_s, end_s, run, split, _ORDER, config.gap_s)


def _keep_apart(
    start_s: Float[np.ndarray, " W"],
    end_s: Float[np.ndarray, " W"],
    run: Int[np.ndarray, " W"],
    split: np.ndarray,
    giving_way: Sequence[str],
    gap_s: float,
) -> np.ndarray:
    """Drop windows nearer than a gap to a run of a split that is named later in ``giving_way``."""
    rank = {name: place for place, name in enumerate(giving_way)}
    runs = {int(i): rank[str(split[run == i][0])] for i in np.unique(run)}
    kept = np.ones(len(start_s), dtype=bool)
    for i in runs:
        for j in runs:
            if runs[i] < runs[j]:
                low, high = start_s[run == j].min(), end_s[run == j].max()
                near = (start_s < high + gap_s) & (end_s > low - gap_s)
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


def _fold_edges(n: int, folds: int) -> Int[np.ndarray, " K"]:
    """Where each of ``folds`` nearly equal parts of ``n`` begins, and where the last one ends."""
    return np.arange(folds + 1) * n // folds


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


def _check_folds(folds: int, kind: str, n: int, session: str) -> None:
    if kind == "given":
        raise UserError(
            f"session {session} takes its splits from trials.split, which has no {folds} folds; "
            "set data.split.kind to random or blocked, or leave data.split.folds out"
        )
    if n < folds:
        raise UserError(
            f"session {session} has {n} windows, too few for data.split.folds {folds}; use fewer "
            "folds, or leave the session out"
        )


def _check_lost(split: np.ndarray, kind: str, config: SplitConfig, session: str) -> None:
    """Nothing can be learnt without training windows, and nothing scored without others."""
    remedy = "record more, or change data.split (fewer blocks, a smaller gap_s)"
    if kind == "given":
        remedy = "mark some of trials.split as train, or set data.split.kind to random or blocked"
    if not (split == "train").any():
        raise UserError(
            f"session {session}: a {kind} split of {len(split)} windows leaves none for training; "
            f"{remedy}"
        )
    wanted = config.folds is not None or config.train + config.valid < 1 - EDGE
    if kind != "given" and wanted and not (split == "test").any():
        said = "session %s: a %s split of %d windows leaves none for testing; %s"
        log.warning(said, session, kind, len(split), remedy)


def _check_fractions(config: SplitConfig) -> None:
    if config.folds is not None:
        if config.valid + 1 / config.folds > 1 - EDGE:
            raise UserError(
                f"data.split.valid {config.valid} and a test split of one fold in {config.folds} "
                "leave no window for training; use more folds or a smaller data.split.valid"
            )
        return
    if config.train + config.valid > 1 + EDGE:
        raise UserError(
            f"data.split.train {config.train} and data.split.valid {config.valid} add up to more "
            "than 1; leave something for the test split"
        )
