"""What ``neuroduet ingest`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuroduet.console import print_table, write, write_next

if TYPE_CHECKING:
    from neuroduet.ingest import Outcome, Status

LISTED = 20
"""Sessions of which a dry run prints everything; of more it prints a row each."""


def print_outcomes(outcomes: Sequence[Outcome], out: Path, check: bool) -> None:
    """Print what was found, or what became of every session, and what to do next.

    Args:
        outcomes: What became of each.
        out: Folder of the recordings.
        check: Whether nothing was to be written.
    """
    if check:
        for one in outcomes[:LISTED]:
            _print_found(one)
        if len(outcomes) > LISTED:
            write(f"... and {len(outcomes) - LISTED} more; --json lists them all")
        _print_mapping(outcomes)
    counts = Counter(one.status for one in outcomes)
    said: dict[Status, str] = {
        "found": "looked at, nothing written",
        "written": f"written into {out}",
        "there": "already there, not written anew (--again replaces)",
        "failed": "failed",
    }
    for status, text in said.items():
        if counts[status]:
            number = counts[status]
            write(f"{number} session{'' if number == 1 else 's'} {text}")
    for one in outcomes:
        if one.status == "failed":
            write(f"failed: {one.why}", stderr=True)
    unused = _unused(outcomes)
    if counts["written"] and unused:
        write(
            f"not offered as behaviours: {unused}; --check prints a mapping file that names them"
        )
    if counts["written"]:
        write_next("inspect", out)


def _print_found(one: Outcome) -> None:
    if one.found is None:
        return
    rows = [(name, text) for name, text in one.found.items.items()]
    rows += [(name, "missing") for name in one.found.missing]
    rows += [("left out", text) for text in one.found.dropped]
    rows += [("not offered", name) for name in [_unused([one])] if name]
    rows += [("note", text) for text in one.found.warnings]
    print_table((one.session, one.source), rows)
    write("")


def _print_mapping(outcomes: Sequence[Outcome]) -> None:
    """A mapping file to begin with, ready to be copied; that of the first session that has one."""
    proposed = [one.found.mapping for one in outcomes if one.found and one.found.mapping]
    if proposed:
        write("to choose or rename behaviours, save this as behaviours.yaml, correct it, and add")
        write("--mapping behaviours.yaml (with --check first: it then says what becomes what):\n")
        write(proposed[0] + "\n")


def _unused(outcomes: Sequence[Outcome]) -> str:
    """Trial columns that become no behaviour, unless a mapping file names them."""
    names = [one.found.unused for one in outcomes if one.found and one.status != "there"]
    return ", ".join(dict.fromkeys(name for found in names for name in found))
