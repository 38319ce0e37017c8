"""Readers of the formats in which recordings are kept, one module per format."""

from __future__ import annotations

from neuroduet.data.readers.alf import AlfReader
from neuroduet.data.readers.brainsets import BrainsetsReader
from neuroduet.data.readers.guarded import Guarded
from neuroduet.data.readers.nwb import NwbReader
from neuroduet.data.readers.reader import Reader
from neuroduet.data.readers.rows import RowsReader
from neuroduet.data.readers.tables import MatReader, NpzReader
from neuroduet.errors import UserError
from neuroduet.plugins import all_names, find_plugin

READERS: dict[str, Reader] = {
    "alf": Guarded(AlfReader()),
    "nwb": Guarded(NwbReader()),
    "rows": Guarded(RowsReader()),
    "brainsets": Guarded(BrainsetsReader()),
    "mat": Guarded(MatReader()),
    "npz": Guarded(NpzReader()),
}
"""By the option of the command line that chooses them."""


def reader_of(name: str) -> Reader:
    """The reader of that name: ours, or one that another package adds.

    Args:
        name: Key of :data:`READERS` or name of a plugin (:mod:`neuroduet.plugins`).

    Raises:
        UserError: There is none, or it cannot be imported.
    """
    if name in READERS:
        return READERS[name]
    found = find_plugin("neuroduet.readers", "format", name, READERS)
    reader = found() if isinstance(found, type) else found
    if not isinstance(reader, Reader) or reader.name != name:
        raise UserError(
            f"the plugin '{name}' is no reader of that name but {reader!r}, expected what "
            "neuroduet.data.readers.reader.Reader describes; correct the package that adds it"
        )
    return Guarded(reader)


def reader_names() -> list[str]:
    """Names of all readers: ours, then those of other packages."""
    return all_names("neuroduet.readers", READERS)
