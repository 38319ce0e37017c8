"""Rows of a long array in an ``.npz`` file, read when they are asked for.

What was stored plainly is mapped. Deflated data can be unpacked from its start only; what the
unpacking knows at the start of every chunk is kept, so that it can go on from there.
"""

from __future__ import annotations

import math
import struct
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from neuroduet.data.boundary import read_npz, reading, require_small
from neuroduet.data.columns import file_pages

CHUNK_BYTES = 1 << 22
"""Bytes that are unpacked together."""

MOST_CHUNKS = 256
"""Chunks of one array; where each knows is 40 KB."""

PIECE_BYTES = 1 << 16
"""Packed bytes that are taken in together."""

KEPT_BYTES = 1 << 25
"""Unpacked bytes that stay in memory."""

_LOCAL_HEADER = struct.Struct("<26xHH")
"""Lengths of the name and of the extra field that stand before an entry's data."""


Take = Callable[[Int[np.ndarray, " R"]], Shaped[np.ndarray, "R N"]]
"""Gives some rows, in memory."""


def open_rows(path: Path, name: str) -> Take:
    """An array of at least two axes as rows of its last.

    Args:
        path: ``.npz`` file.
        name: The array.

    Raises:
        UserError: The file is damaged, or the array holds no numbers.
    """
    with reading(path), path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        require_small(path, archive)
        entry = archive.getinfo(f"{name}.npy")
        with archive.open(entry) as file:
            shape, fortran, dtype = _read_head(file)
            head = file.tell()
        n_values = math.prod(shape)
        if dtype.kind not in "fiu" or len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"{name} has the shape {shape} of {dtype}, expected rows of numbers")
        if head + n_values * dtype.itemsize != entry.file_size:
            raise ValueError(f"{name} claims the shape {shape}, but holds {entry.file_size} bytes")
        if fortran or not n_values:
            return read_npz(path, (name,))[name].reshape(-1, shape[-1]).__getitem__
        stream.seek(entry.header_offset)
        begin = entry.header_offset + 30 + sum(_LOCAL_HEADER.unpack(stream.read(30)))
        pages = file_pages(path)[begin : begin + entry.compress_size]
        flat = (math.prod(shape[:-1]), shape[-1])
        if entry.compress_type == zipfile.ZIP_STORED:
            return np.ndarray(flat, dtype, buffer=pages, offset=head).__getitem__
        if entry.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError(f"{name} is packed in an unknown way")
        return _Deflated(pages, head, flat, dtype).take


def _read_head(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(file)]
    return read(file)


class _Deflated:
    """Rows that are unpacked a chunk at a time, of which the last used stay in memory."""

    def __init__(
        self, packed: np.ndarray, head: int, shape: tuple[int, int], dtype: np.dtype
    ) -> None:
        self._packed, self._shape, self._dtype = packed, shape, dtype
        width = max(1, shape[1] * dtype.itemsize)
        chunk_bytes = max(CHUNK_BYTES, -(-shape[0] * width // MOST_CHUNKS))
        self._rows = max(1, chunk_bytes // width)
        self._room = max(2, KEPT_BYTES // (self._rows * width))
        self._chunks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        start = _unpack(packed, (0, zlib.decompressobj(-zlib.MAX_WBITS)), bytearray(head))
        self._starts = [start]

    def take(self, rows: Int[np.ndarray, " R"]) -> Shaped[np.ndarray, "R N"]:
        """Some rows, in memory."""
        found = np.empty((len(rows), self._shape[1]), dtype=self._dtype)
        chunk = rows // self._rows
        for number in np.unique(chunk):
            mine = np.flatnonzero(chunk == number)
            found[mine] = self._chunk(int(number))[rows[mine] - number * self._rows]
        return found

    def _chunk(self, number: int) -> np.ndarray:
        with self._lock:
            if number not in self._chunks:
                for one in range(min(number, len(self._starts) - 1), number + 1):
                    self._chunks[one] = self._unpacked(one)
                    self._chunks.move_to_end(one)
                    if len(self._chunks) > self._room:
                        self._chunks.popitem(last=False)
            self._chunks.move_to_end(number)
            return self._chunks[number]

    def _unpacked(self, number: int) -> np.ndarray:
        n_rows = min(self._rows, self._shape[0] - number * self._rows)
        found = np.empty((n_rows, self._shape[1]), dtype=self._dtype)
        following = _unpack(self._packed, self._starts[number], found.data.cast("B"))
        if number + 1 == len(self._starts):
            self._starts.append(following)
        return found


_Place = tuple[int, Any]
"""How much of the packed data was taken in, and what the unpacking knows there (a decompressor of
:mod:`zlib`, whose class has no public name)."""


def _unpack(packed: np.ndarray, place: _Place, into: bytearray | memoryview) -> _Place:
    """Fill some room with what comes from a place on; returns the place behind it."""
    at, inflate, done = place[0], place[1].copy(), 0
    while done < len(into):
        piece = packed[at : at + PIECE_BYTES]
        more = inflate.decompress(piece.data, len(into) - done)
        at += len(piece) - len(inflate.unconsumed_tail)
        if not more and not len(piece):
            raise ValueError(f"its data ends {len(into) - done} bytes early")
        into[done : done + len(more)] = more
        done += len(more)
    return at, inflate
