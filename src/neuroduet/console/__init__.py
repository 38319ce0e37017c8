"""What the command line prints: sentences, JSON, tables and progress."""

from neuroduet.console.progress import counted, question_progress, training_progress, working
from neuroduet.console.scores import print_scores
from neuroduet.console.tables import (
    print_findings,
    print_recordings,
    print_run,
    print_table,
)
from neuroduet.console.words import (
    is_quiet,
    jsonable,
    unused,
    write,
    write_json,
    write_next,
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
