"""A process that does one job of :func:`neuroduet.training.jobs.run_jobs`.

The job stands in the first line of standard input, as JSON: the function, its arguments, and the
file that is to say how it ended.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from neuroduet.config import from_mapping
from neuroduet.errors import UserError
from neuroduet.training.files import write_text
from neuroduet.training.jobs import CONFIG


def main() -> None:
    """Do the job, and write how it ended."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    write_text(Path(job["answer"]), json.dumps(_done(job)))


def _leave_with_parent() -> None:
    """End this process when standard input is cut, instead of training on unseen."""
    # Not sys.stdin: whoever waits in it when the interpreter ends is a fatal error.
    while os.read(0, 1):
        pass
    os._exit(1)


def _done(job: dict[str, Any]) -> dict[str, str]:
    """Kind of error, which is empty if all went well, its message and traceback."""
    module, _, name = job["function"].partition(":")
    try:
        given = [_argument(one) for one in job["arguments"]]
        getattr(import_module(module), name)(*given)
    except Exception as error:  # noqa: BLE001
        usual = isinstance(error, UserError | OSError)
        kind = UserError.__name__ if usual else type(error).__name__
        return {"kind": kind, "message": str(error), "traceback": traceback.format_exc()}
    return {"kind": ""}


def _argument(given: Any) -> Any:
    is_config = isinstance(given, dict) and CONFIG in given
    return from_mapping(given[CONFIG]) if is_config else given


if __name__ == "__main__":
    main()
