"""Where commands print: always there, and ready for every letter."""

from __future__ import annotations

import io
import os
import sys


def steady_streams() -> None:
    """Make standard output and error take whatever is printed.

    A stream that the caller has closed (``>&-``) takes it to nowhere. Letters that the encoding
    of a stream lacks, as those of a session's name do in the locale ``C``, become escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
