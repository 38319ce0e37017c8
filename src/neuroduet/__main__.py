"""``python -m neuroduet``: the command line without its script."""

from __future__ import annotations

import sys

from neuroduet.cli import main

if __name__ == "__main__":
    sys.exit(main())
