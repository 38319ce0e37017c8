"""Tables on standard output: coloured on a terminal, plain and whole when piped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from neuroduet.terminal import new_console, plain, write

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

INDENT = 2
"""Spaces before the later lines of a paragraph."""


def print_recordings(
    summaries: Iterable[Mapping[str, Any]],
    windows: Mapping[str, str],
    lengths: Mapping[str, Mapping[str, int | float]],
) -> None:
    """Print one row for each recording, then what is wrong with any of them.

    Args:
        summaries: What :func:`neuroduet.data.recording.describe` says of each.
        windows: By session, how many windows are for training, validation and test.
        lengths: By session, ``shortest_bins``, ``longest_bins`` and ``bin_size_s`` of its windows.
    """
    known = list(summaries)
    header = "session,subject,activity,units,median rate,duration,trials,window"
    rows = [_recording_row(one, windows, lengths) for one in known if not one["problems"]]
    if rows:
        print_table([*header.split(","), "train/valid/test", "behaviours"], rows)
    frames = [
        _frames_row(one["session"], found) for one in known for found in one.get("frames", [])
    ]
    if frames:
        write("")
        print_table(("session", "frames", "shape", "classes"), frames)
    for one in known:
        for problem in one["problems"]:
            write(f"session {one['session']}: {problem}", stderr=True)


def _recording_row(
    summary: Mapping[str, Any],
    windows: Mapping[str, str],
    lengths: Mapping[str, Mapping[str, int | float]],
) -> tuple[str, ...]:
    rates_hz = summary["rate_quantiles_hz"]
    silent = f" ({summary['silent_units']} silent)" if summary["silent_units"] else ""
    behaviours = [
        f"{one['name']} ({one['kind']}, per {one['per']}"
        + (f", {one['missing']:.0%} missing)" if one["missing"] >= 0.005 else ")")
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
        _window(lengths[summary["session"]]) if summary["session"] in lengths else "-",
        windows.get(summary["session"], "-"),
        "\n".join(behaviours) or "-",
    )


def _window(length: Mapping[str, int | float]) -> str:
    """Length of the windows: of trials that differ in length, of the shortest and the longest."""
    bins = (int(length["shortest_bins"]), int(length["longest_bins"]))
    ends = [bins[0]] if bins[0] == bins[1] else list(bins)
    seconds = " to ".join(f"{one * length['bin_size_s']:.3g}" for one in ends)
    return f"{seconds} s\n{' to '.join(map(str, ends))} bins"


def _frames_row(session: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    shape = " x ".join(f"{size:,}" for size in found["shape"])
    return session, found["name"], shape, ", ".join(found["classes"]) or "-"


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
    """Print a table of plain cells; on a terminal too narrow for its words, a paragraph per row.

    Args:
        header: Names of the columns.
        rows: A cell for each column.
    """
    from rich.text import Text

    cells = [[plain(cell) for cell in row] for row in rows]
    table = laid_out(header, [[Text(cell) for cell in row] for row in cells])
    if table is not None:
        show(table)
        return
    for row in cells:
        items = [
            f"{name}: {cell}" if name else cell for name, cell in zip(header, row, strict=True)
        ]
        write(paragraph(items, new_console().width) + "\n")


def laid_out(
    header: Sequence[str], rows: Sequence[Sequence[Text]], numbers: int | None = None
) -> Table | None:
    """A table in which no word is broken, as wide as the terminal at most.

    Args:
        header: Names of the columns.
        rows: A cell for each column; names are shown as they are, without markup.
        numbers: First of the columns that hold numbers; none if not given.

    Returns:
        The table, or ``None`` if the terminal is too narrow for its words.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns = list(zip(header, *([cell.plain for cell in row] for row in rows), strict=True))
    widths = _widths(columns, new_console().width - 2 * len(columns) + 1)
    if widths is None:
        return None
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for i, (name, width) in enumerate(zip(header, widths, strict=True)):
        right = numbers is not None and i >= numbers
        table.add_column(Text(name), width=width, justify="right" if right else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Width of each column, at least that of its longest word; ``None`` if there is no room."""
    least = [
        max((cell_len(w) for cell in one for w in cell.split()), default=0) for one in columns
    ]
    most = [max(cell_len(line) for cell in one for line in cell.split("\n")) for one in columns]
    widths, spare = list(least), room - sum(least)
    if spare < 0:
        return None
    wanting = sorted(range(len(columns)), key=lambda i: most[i] - least[i])
    for left, i in zip(range(len(columns), 0, -1), wanting, strict=True):
        more = min(most[i] - least[i], spare // left)
        widths[i], spare = widths[i] + more, spare - more
    return widths


def paragraph(items: Iterable[str], width: int, between: str = "  ") -> str:
    """Items one after another, on as many lines as they need, later lines indented.

    Args:
        items: Texts; short ones stay on one line.
        width: Columns of a line.
        between: What separates items.
    """
    kept = [one.replace(" ", "\xa0") if len(one) <= width - INDENT else one for one in items]
    lines = wrap(
        between.join(kept),
        width,
        subsequent_indent=" " * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\xa0", " ")


def show(table: Table) -> None:
    """Print a table, without its colours and the spaces around it when piped.

    Args:
        table: The table.
    """
    console = new_console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    write("\n".join(lines).strip("\n"))
