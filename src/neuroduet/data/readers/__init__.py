"""Readers of the formats in which recordings are kept, one module per format."""

from __future__ import annotations

from neuroduet.data.readers.alf import AlfReader
from neuroduet.data.readers.brainsets import BrainsetsReader
from neuroduet.data.readers.guarded import Guarded
from neuroduet.data.readers.nwb import NwbReader
from neuroduet.data.readers.reader import Reader
from neuroduet.data.readers.rows import RowsReader
from neuroduet.data.readers.tables import MatReader, NpzReader

READERS: dict[str, Reader] = {
    "alf": Guarded(AlfReader()),
    "nwb": Guarded(NwbReader()),
    "rows": Guarded(RowsReader()),
    "brainsets": Guarded(BrainsetsReader()),
    "mat": Guarded(MatReader()),
    "npz": Guarded(NpzReader()),
}
"""By the option of the command line that chooses them."""
