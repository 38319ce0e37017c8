"""What the command line prints: sentences, JSON, tables and progress."""

from neuroduet.console.scores import print_scores
from neuroduet.console.tables import (
    print_findings,
    print_recordings,
    print_run,
    print_table,
)
from neuroduet.console.words import jsonable, unused, write_json, write_next
from neuroduet.terminal import (
    counted,
    is_quiet,
    question_progress,
    training_progress,
    working,
    write,
)

__all__ = [
    "counted",
    "is_quiet",
    "jsonable",
    "print_findings",
    "print_recordings",
    "print_run",
    "print_scores",
    "print_table",
    "question_progress",
    "training_progress",
    "unused",
    "working",
    "write",
    "write_json",
    "write_next",
]
