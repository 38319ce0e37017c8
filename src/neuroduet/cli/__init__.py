"""The command line: each command parses, calls one Python function and prints what came back.

Commands stand in files by subject; here they get their names, and come to their end.

Heavy packages are imported inside the commands, so that ``neuroduet --help`` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Annotated

import typer

from neuroduet import __version__
from neuroduet.cli import (
    actions,
    crossval,
    data,
    export,
    imports,
    info,
    ingest,
    installation,
    list_runs,
    models,
    plan,
    report,
    scores,
    search,
    share,
    submit,
    view,
)
from neuroduet.cli.ending import ended
from neuroduet.cli.help import Commands, explain
from neuroduet.cli.loudness import listening, take_out
from neuroduet.cli.streams import steady_streams
from neuroduet.console import write
from neuroduet.options import spread_settings

log = logging.getLogger(__name__)

app = typer.Typer(
    name="neuroduet",
    help="Neural encoding and decoding with one multimodal masked transformer.",
    cls=Commands,
    # `neuroduet completion` prints the script instead of changing files of the shell.
    add_completion=False,
    # Plain text: rich would draw boxes around errors and cut their sentences at the edge.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after the program's name; those of the process if not given.

    Returns:
        Exit code: 0 done, 1 the doctor found a problem, 2 wrong use or unusable input, 70 a fault
        of the program, 130 interrupted, 141 the reader of the output has gone.
    """
    given = sys.argv[1:] if arguments is None else arguments
    # Threads that wait for each other by spinning stall for minutes on a busy machine. This must
    # be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Several processes: torch advises against what sessions without gradients in a step need.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    steady_streams()
    kept, loudness = take_out(given)
    words = spread_settings(kept)

    def run() -> None:
        with listening(loudness):
            _call(words)

    return ended(run, loudness.debug, _how_to_go_on(words))


def _call(words: list[str]) -> None:
    if "_NEURODUET_COMPLETE" in os.environ:
        from typer.completion import completion_init

        completion_init()
    start = time.monotonic()
    command = typer.main.get_command(app)
    explain(command)
    try:
        command(words, prog_name="neuroduet")
    finally:
        log.debug("ended after %.1f s", time.monotonic() - start)


def _show_version(wanted: bool) -> bool:
    if wanted:
        write(f"neuroduet {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Print the version."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print results and errors only.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more of what is done, and when.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks too. All three: anywhere.")
    ] = False,
) -> None:
    # main() takes these out before parsing; they are declared here for the help text.
    """Neural encoding and decoding with one multimodal masked transformer."""


app.command()(data.simulate)
app.command()(data.inspect)
app.command()(models.train)
app.command()(models.finetune)
app.command()(models.predict)
app.command()(models.embed)
app.command()(scores.evaluate)
app.command()(scores.baselines)
app.command()(info.info)
app.command("list")(list_runs.list_runs)
app.command()(share.share)
app.command()(installation.demo)
app.command()(installation.doctor)
app.command()(installation.completion)
app.command()(export.export)
app.command()(plan.plan)
app.command()(report.report)
app.command()(search.search)
app.command()(submit.benchmark)
app.command()(submit.submit)
app.command()(view.view)
app.command()(crossval.crossval)
app.command()(ingest.ingest)
app.add_typer(actions.app)
actions.app.command("import")(imports.import_recording)
actions.app.command("label")(imports.label_recording)


def _how_to_go_on(words: list[str]) -> str:
    if words[:1] in (["train"], ["finetune"]):
        return "; --resume continues the run"
    if words[:1] == ["crossval"]:
        return "; --resume goes on where it stopped"
    if words[:1] == ["search"]:
        return "; --resume continues the search"
    if words[:2] in (["actions", "compare"], ["actions", "density"]):
        return "; the same command goes on where it stopped"
    return ""
