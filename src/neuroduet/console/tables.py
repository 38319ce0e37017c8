"""Tables on standard output: coloured on a terminal, plain and whole when piped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from neuroduet.console.words import new_console, plain, write

LEGIBLE = 6
"""Letters of a long word that must stand side by side for it to be read."""


def print_recordings(summaries: Iterable[Mapping[str, Any]], windows: Mapping[str, str]) -> None:
    """Print one row for each recording, then what is wrong with any of them.

    Args:
        summaries: What :func:`neuroduet.data.recording.describe` says of each.
        windows: By session, how many windows are for training, validation and test.
    """
    known = list(summaries)
    header = "session subject activity units rate duration trials train/valid/test behaviours"
    rows = [_recording_row(one, windows) for one in known if not one["problems"]]
    if rows:
        print_table(header.split(), rows)
    frames = [
        _frames_row(one["session"], found) for one in known for found in one.get("frames", [])
    ]
    if frames:
        write("")
        print_table(("session", "frames", "shape", "classes"), frames)
    for one in known:
        for problem in one["problems"]:
            write(f"session {one['session']}: {problem}", stderr=True)


def _recording_row(summary: Mapping[str, Any], windows: Mapping[str, str]) -> tuple[str, ...]:
    rates_hz = summary["rate_quantiles_hz"]
    silent = f" ({summary['silent_units']} silent)" if summary["silent_units"] else ""
    behaviours = [
        f"{one['name']} ({one['kind']}, per {one['per']}"
        + (f", {one['missing']:.0%} missing)" if one["missing"] else ")")
        for one in summary["behaviours"]
    ]
    return (
        summary["session"],
        summary["subject"],
        summary["neural"] or "-",
        f"{summary['units']}{silent}",
        f"{rates_hz[2]:.1f} Hz" if rates_hz else "-",
        f"{summary['duration_s']:.0f} s",
        str(summary["trials"]),
        windows.get(summary["session"], "-"),
        "\n".join(behaviours) or "-",
    )


def _frames_row(session: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " x ".join(f"{size:,}" for size in found["shape"])
    return session, found["name"], shape, ", ".join(found["classes"]) or "-"


def print_scores(scores: Any, models: Sequence[str] | None = None) -> None:
    """Print the mean of each score over sessions, beside its null and oracle.

    Args:
        scores: Data frame with the columns of ``scores.csv``.
        models: Show the primary scores of these, beside the best linear baseline, instead of
            everything.
    """
    from neuroduet.report.headlines import brief_table
    from neuroduet.report.tables import render_rich, summary_table

    _print(render_rich(brief_table(scores, models) if models else summary_table(scores)))


def print_run(run: Mapping[str, Any]) -> None:
    """Print what a run is made of and what its training cost.

    Args:
        run: What :func:`neuroduet.training.info.describe_run` says of it.
    """
    print_table(("run", str(run["run"])), _run_facts(run))
    write("")
    header = "session activity units regions window behaviours stitchers"
    print_table(header.split(), [_session_row(session) for session in run["sessions"]])
    write("")
    header = "seed steps epochs minutes windows stopped_by device threads precision"
    print_table(header.split(), [_training_row(one) for one in run["trainings"]])
    write("")
    rows = [
        (str(one["seed"]), target, *_validation_row(score))
        for one in run["trainings"]
        for target, score in one["validation"].items()
    ]
    if rows:
        print_table(("seed", "validation score of", "last", "best", "at step"), rows)
        write("")
    write(f"operations: {run['operations_rule']}")


def _run_facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    parameters, sessions, operations = run["parameters"], len(run["sessions"]), run["operations"]
    behaviours = [f"{one['name']} ({one['kind']}, per {one['per']})" for one in run["behaviours"]]
    bounded = not all(one["windows_exact"] for one in run["trainings"])
    whole, weights = (f"{run['bytes'][part] / 1e6:.1f} MB" for part in ("run", "model"))
    return [
        ("preset", run["preset"]),
        ("model", run["model"] + (f", {run['members']} members" if run["members"] > 1 else "")),
        ("behaviours", ", ".join(behaviours) or "none"),
        (
            "parameters",
            f"{parameters['total']:,}: {parameters['core']:,} shared, {parameters['stitchers']:,} "
            f"in stitchers of {sessions} session{'' if sessions == 1 else 's'}",
        ),
        ("tokens of a window", f"{run['tokens_per_window']:,}"),
        ("operations", "-" if operations is None else _at_most(f"{operations:.1e}", bounded)),
        ("on disk", f"{whole}, of which the weights {weights}"),
    ]


def _session_row(session: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        session["id"],
        session["activity"],
        str(session["units"]),
        "-" if session["regions"] is None else str(len(session["regions"])),
        f"{session['bins']} x {1000 * session['bin_size_s']:g} ms",
        ", ".join(session["behaviours"]) or "-",
        f"{session['stitchers']:,}",
    )


def _training_row(training: Mapping[str, Any]) -> tuple[str, ...]:
    epochs, minutes, windows = training["epochs"], training["minutes"], training["windows"]
    gpu = training["gpu"] if training["device"] != "cpu" else None
    return (
        str(training["seed"]),
        _known(training["steps"]),
        "-" if epochs is None else f"{epochs:.1f}",
        "-" if minutes is None else f"{minutes:.2f}",
        "-" if windows is None else _at_most(f"{windows:,}", not training["windows_exact"]),
        _known(training["stopped_by"]),
        training["device"] + (f" ({gpu})" if gpu else ""),
        _known(training["threads"]),
        training["precision"],
    )


def _validation_row(score: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"{score['final']:.3f}", f"{score['best']:.3f}", f"{score['best_step']:,}"


def _known(value: Any) -> str:
    return "-" if value is None else str(value)


def _at_most(text: str, bounded: bool) -> str:
    return f"at most {text}" if bounded else text


def print_findings(findings: Iterable[Any]) -> None:
    """Print what the doctor found, then what to do about it.

    Args:
        findings: See :class:`neuroduet.doctor.Finding`.
    """
    found = list(findings)
    print_table(
        ("check", "found", ""),
        [(one.check, one.found, "look below" if one.remedy else "OK") for one in found],
    )
    for one in found:
        if one.remedy:
            write(f"{one.check}: {one.remedy}")
    if not any(one.remedy for one in found):
        write("everything is in order")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain cells; on a terminal too narrow for it, a line per cell.

    Args:
        header: Names of the columns.
        rows: A cell for each column.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name in header:
        table.add_column(Text(name), overflow="fold")  # Text: brackets in names are no markup
    cells = [[plain(cell) for cell in row] for row in rows]
    if not _fits([header, *cells]):
        for row in cells:
            lines = [f"{name}: {cell}" for name, cell in zip(header, row, strict=True)]
            write("\n".join([*lines, ""]))
        return
    for row in cells:
        table.add_row(*map(Text, row))
    _print(table)


def _fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether no column of a table would be narrower than its words, or a few letters of them."""
    widest = [max((len(word) for cell in column for word in cell.split()), default=0)
              for column in zip(*rows, strict=True)]  # fmt: skip
    return sum(min(width, LEGIBLE) + 3 for width in widest) <= new_console().width


def _print(table: Any) -> None:
    console = new_console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    write("\n".join(lines).strip("\n"))
