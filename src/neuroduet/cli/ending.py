"""How a command ends: with an exit code, and one sentence if something went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from neuroduet.console import write
from neuroduet.errors import UserError

DONE = 0
WRONG_USE = 2
"""Wrong words, or input that cannot be used."""

BUG = 70
"""A fault of the program (``EX_SOFTWARE``)."""

INTERRUPTED = 130
CLOSED_PIPE = 141
"""Whoever read the output has gone: as if ended by SIGPIPE, without a word."""


def ended(command: Callable[[], None], debug: bool, how_to_go_on: str) -> int:
    """Run a command to its end.

    Args:
        command: What to run.
        debug: Show tracebacks.
        how_to_go_on: What to say after `interrupted`.

    Returns:
        The exit code.
    """
    try:
        command()
        sys.stdout.flush()
        return DONE
    except SystemExit as stop:  # typer ends every command this way, a good one too
        return _code(stop, how_to_go_on)
    except KeyboardInterrupt:
        return _interrupted(how_to_go_on)
    except BrokenPipeError:
        return _silenced()
    except Exception as error:
        if debug:
            write(traceback.format_exc().rstrip(), stderr=True)
        if isinstance(error, UserError | OSError):
            write(f"error: {_sentence(error)}", stderr=True)
            return WRONG_USE
        write(f"error: {_fault(error, debug)}", stderr=True)
        return BUG


def _code(stop: SystemExit, how_to_go_on: str) -> int:
    if stop.code == INTERRUPTED:
        return _interrupted(how_to_go_on)
    if isinstance(stop.__context__, BrokenPipeError):  # typer and rich turn it into exit(1)
        return _silenced()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return _silenced()
    return stop.code if isinstance(stop.code, int) else DONE


def _interrupted(how_to_go_on: str) -> int:
    write(f"interrupted{how_to_go_on}", stderr=True)
    return INTERRUPTED


def _silenced() -> int:
    """Leave nothing that the interpreter would try to write, in vain and aloud, when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return CLOSED_PIPE


def _sentence(error: UserError | OSError) -> str:
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"there is no file or folder {error.filename}; check the path"
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}; check the path and its permissions"
    return " ".join(str(error).split())


def _fault(error: Exception, debug: bool) -> str:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    remedy = "" if debug else "add --debug for the details, and "
    return f"this is a fault of neuroduet, not yours ({said}); {remedy}please report it"
