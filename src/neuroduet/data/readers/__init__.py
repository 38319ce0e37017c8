"""Readers of the formats in which recordings are kept, one module per format."""

from __future__ import annotations

from neuroduet.data.readers.alf import AlfReader
from neuroduet.data.readers.reader import Reader

READERS: dict[str, Reader] = {
    "alf": AlfReader(),
}
"""By the option of the command line that chooses them."""
