"""Ways to spoil a file: its bytes, or what they mean in its format.

Every way takes a ``random.Random``, so that hypothesis and the long fuzz draw from the same set.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

WORDS = (
    "", "nan", "NaN", "inf", "-1", "0", "1e308", "-9223372036854775808", "9" * 40, "9" * 5000,
    "1e-400", "true", "null", "None", "../../x", "/etc/passwd", "\0", "\n", "é\u202e", "<script>",
    "a" * 3000, "=cmd()", "[]", "{}", '"', "'", ",", ";", "\t", "!!python/object/apply:os.system",
    "&a [*a]", "1:2:3", "2020-99-99", "-", "%", "\ufeff", "x.y.z", "0x10", "1_0", "١",
)  # fmt: skip
"""What may stand in a cell, a key or a name."""


def _deep(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf"), 0.5, "",
    [], {}, [1, 2], {"a": 1}, [[]], "x", *WORDS[:12],
)  # fmt: skip
"""What may stand in a tree of JSON or YAML."""


def spoil(path: Path, random: Random) -> str:
    """Spoil a file in one of the ways of its format, or its bytes.

    Args:
        path: File.
        random: Where chance comes from.

    Returns:
        What was done, in a word.
    """
    ways = list(BY_SUFFIX.get(path.suffix, ()))
    if h5py.is_hdf5(path):
        ways = [in_hdf5]
    done = []
    if ways and random.randrange(3):
        way = random.choice(ways)
        whole = path.read_bytes()
        try:
            way(path, random)
            done.append(way.__name__)
        except Exception:
            path.write_bytes(whole)  # what the format's own writer refuses to write
    # Nothing is opened any more after its bytes were spoilt: this process shall live.
    if not done or not random.randrange(5):
        way = random.choice(BYTES)
        way(path, random)
        done.append(way.__name__)
    return " and ".join(done)


def flip_bytes(path: Path, random: Random) -> None:
    """Other bytes in a few places."""
    content = bytearray(path.read_bytes())
    for _ in range(random.choice((1, 1, 2, 8, 32))):
        if content:
            content[random.randrange(len(content))] = random.choice((0, 1, 127, 255, 128, 64))
    path.write_bytes(bytes(content))


def flip_head(path: Path, random: Random) -> None:
    """Other bytes near the start, where formats say what follows."""
    content = bytearray(path.read_bytes())
    for _ in range(random.choice((1, 2, 4))):
        if content:
            content[random.randrange(min(len(content), 600))] = random.randrange(256)
    path.write_bytes(bytes(content))


def truncate(path: Path, random: Random) -> None:
    """Cut off at the end."""
    content = path.read_bytes()
    path.write_bytes(content[: random.randrange(len(content) + 1)])


def insert(path: Path, random: Random) -> None:
    """Bytes that do not belong there."""
    content = path.read_bytes()
    place = random.randrange(len(content) + 1)
    more = bytes(random.randrange(256) for _ in range(random.choice((1, 3, 8, 64))))
    path.write_bytes(content[:place] + more + content[place:])


def splice(path: Path, random: Random) -> None:
    """A stretch of the file copied over another place of it."""
    content = bytearray(path.read_bytes())
    if len(content) > 8:
        size = random.randrange(1, min(len(content) // 2, 400))
        source, target = (random.randrange(len(content) - size) for _ in range(2))
        content[target : target + size] = content[source : source + size]
    path.write_bytes(bytes(content))


def whole_numbers(path: Path, random: Random) -> None:
    """A huge or negative number over eight or four bytes."""
    content = bytearray(path.read_bytes())
    size = random.choice((4, 8))
    if len(content) > size:
        value = random.choice((2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**62, 2**63, 2**64 - 1))
        place = random.randrange(len(content) - size)
        content[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    path.write_bytes(bytes(content))


def in_cells(path: Path, random: Random) -> None:
    """A cell, a line or a header of a text table."""
    lines = path.read_text(encoding="utf-8").split("\n")
    row = random.randrange(len(lines))
    separator = max(",;\t ", key=lines[row].count)
    cells = lines[row].split(separator)
    place = random.randrange(len(cells))
    what = random.randrange(8)
    if what < 4:
        cells[place] = random.choice(WORDS)
    elif what == 4:
        del cells[place]
    elif what == 5:
        cells.insert(place, random.choice(WORDS))
    lines[row] = separator.join(cells)
    if what == 6:
        del lines[row]
    elif what == 7:
        lines.insert(random.randrange(len(lines)), lines[row])
    path.write_bytes("\n".join(lines).encode("utf-8"))


def _branches(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree: what holds it, and its key there."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    return found


def _change(tree: Any, random: Random) -> Any:
    places = _branches(tree) if isinstance(tree, dict | list) else []
    if not places or random.randrange(20) == 0:
        return random.choice(VALUES)
    for _ in range(random.choice((1, 1, 2))):
        node, key = random.choice(places)
        what = random.randrange(6)
        if what < 3:
            node[key] = random.choice(VALUES)
        elif what == 3:
            node[key] = _deep(random.choice((5, 100, 900)))
        elif isinstance(node, dict):
            old = node.pop(key, None)
            if what == 4:
                node[random.choice(WORDS)] = old
        else:
            node.append(random.choice(VALUES))
    return tree


def in_json(path: Path, random: Random) -> None:
    """A value, a key or the depth of a JSON tree."""
    if random.randrange(12) == 0:
        levels = random.choice((900, 5000, 200_000))
        path.write_text("[" * levels + "]" * levels)
        return
    path.write_text(json.dumps(_change(json.loads(path.read_text()), random)))


def in_yaml(path: Path, random: Random) -> None:
    """The same in YAML, or what only YAML has."""
    import yaml

    text = path.read_text()
    extra = (
        "\n&a [*a]", "\nx: &a [1]\ny: *a", "\n!!python/object/apply:os.system ['touch hacked']",
        "\nx: !!python/name:os.system", "\ndata: {}\ndata: {}", "\n" + "[" * 3000, "\n? [a]\n: b",
        "\nx: 2020-99-99", "\nx: " + "9" * 5000, "\nx: !!binary '*'", "\n<<: 3", "\n- 1", "\n%TAG",
        "\nx: !!float x", "\nx: !!timestamp y", "\n{{1: 2}: 3}", "\nx: !!int z", "\n--- 1",
        "\na: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]"
        "\nd: &d [*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e]"
        "\ng: &g [*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g]",
    )  # fmt: skip
    if random.randrange(3) == 0:
        path.write_text(text + random.choice(extra) + "\n")
        return
    path.write_text(yaml.safe_dump(_change(yaml.safe_load(text), random)))


def _other(values: np.ndarray, random: Random) -> np.ndarray:
    """An array that is not what was expected."""
    return random.choice(OTHERS)(values, random)


def _one_odd(values: np.ndarray, random: Random) -> np.ndarray:
    """The same with one value that no measurement has."""
    odd = random.choice((np.nan, np.inf, -np.inf, 1e308, -1.0, 0.5, 1e12))
    fresh = np.array(values, dtype=np.float64)
    fresh.flat[random.randrange(fresh.size)] = odd
    return fresh


def _one_wild(values: np.ndarray, random: Random) -> np.ndarray:
    """The same with one number that points nowhere."""
    fresh = np.array(values, dtype=np.int64)
    fresh.flat[random.randrange(fresh.size)] = random.choice((-1, 2**62, 10**6, -(2**63)))
    return fresh


OTHERS: tuple[Callable[[np.ndarray, Random], np.ndarray], ...] = (
    lambda values, random: values[..., None],
    lambda values, random: values.ravel()[: values.size // 2],
    lambda values, random: np.empty(0, values.dtype),
    lambda values, random: values.astype("U").astype("S"),
    lambda values, random: np.zeros(values.shape, np.complex128),
    lambda values, random: np.zeros(values.shape, [("a", "<i4"), ("b", "<f8")]),
    lambda values, random: np.array(random.choice((0, -1, 2**62, np.nan, np.inf))),
    _one_odd,
    _one_wild,
    lambda values, random: values.astype(np.float16),
    lambda values, random: np.zeros(values.shape, bool),
    lambda values, random: np.ascontiguousarray(values.T) if values.ndim > 1 else values[::-1],
    lambda values, random: np.zeros(values.shape, "datetime64[s]"),
)


def in_npz(path: Path, random: Random) -> None:
    """An array of an archive of arrays, or an entry of the archive."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = random.choice(list(arrays))
    what = random.randrange(6)
    if what < 3:
        arrays[name] = _other(arrays[name], random)
    elif what == 3:
        del arrays[name]
    buffers = {f"{one}.npy": _npy(values) for one, values in arrays.items()}
    if what == 4:
        buffers[f"{name}.npy"] = claiming(arrays[name], random)
    if what == 5:
        buffers[random.choice(("../up.npy", "/etc/x.npy", "x", "y.npy", ""))] = b"\x93NUMPY"
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(path, "w", random.choice(kinds)) as archive:
        for one, content in buffers.items():
            archive.writestr(zipfile.ZipInfo(one), content)


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values)
    return buffer.getvalue()


def claiming(values: np.ndarray, random: Random) -> bytes:
    """An array whose head says something else than what follows."""
    shape = random.choice(((10**12,), (2**62,), (-1,), (10**5, 10**7), (3, 0, 5), "()", (2**64,)))
    types = (values.dtype.str, "|O", "<f8", "V99999999", "<U999999", "x", [("a", 1)])
    descr = random.choice(types)
    head = repr({"descr": descr, "fortran_order": random.choice((True, False)), "shape": shape})
    text = head.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + values.tobytes()


def in_npy(path: Path, random: Random) -> None:
    """An array, or its head."""
    values = np.load(path)
    fresh = claiming(values, random) if random.randrange(3) == 0 else _npy(_other(values, random))
    path.write_bytes(fresh)


def in_table(path: Path, random: Random) -> None:
    """A column of a parquet table, or of a stream of arrow."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    is_parquet = path.suffix != ".arrow"
    if is_parquet:
        table = parquet.read_table(path)
    else:
        with pa.OSFile(str(path)) as source:
            table = pa.ipc.open_stream(source).read_all()
    place = random.randrange(table.num_columns)
    name, rows = table.column_names[place], table.num_rows
    fresh: Any = random.choice(
        (
            [None] * rows, ["x"] * rows, [[1.5, None]] * rows, [[]] * rows, [10**18] * rows,
            [-1] * rows, [float("nan")] * rows, [{"a": 1}] * rows, [b"\xff"] * rows, [True] * rows,
            [[[1]]] * rows, pa.array([1] * rows, pa.timestamp("s")), pa.nulls(rows),
            [[10**9, 10**9]] * rows, [[-1, 4]] * rows,
        )
    )  # fmt: skip
    what = random.randrange(6)
    if what < 3:
        table = table.set_column(place, name, fresh if isinstance(fresh, pa.Array) else [fresh])
    elif what == 3:
        table = table.remove_column(place)
    elif what == 4:
        table = table.append_column(random.choice((name, "")), table.column(place))
    else:
        table = table.slice(0, random.choice((0, 1)))
    if is_parquet:
        parquet.write_table(table, path)
        return
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)


def in_tensors(path: Path, random: Random) -> None:
    """The head of a safetensors file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head = _change(json.loads(content[8 : 8 + size]), random)
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


def in_zip(path: Path, random: Random) -> None:
    """An entry of an archive: its name, its kind, or what it holds."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice(list(entries))
    inner = path.with_name("inner.safetensors")
    inner.write_bytes(entries.pop(name))
    random.choice((in_tensors, flip_bytes, truncate, flip_head))(inner, random)
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(path, "w") as archive:
        others = ("../../up.safetensors", "/x", "", "a/", "a\\..\\b", "c:/x")
        named = random.choice((name, name, *others))
        archive.writestr(zipfile.ZipInfo(named), inner.read_bytes(), random.choice(kinds))
        for other, content in entries.items():
            archive.writestr(other, content)
    inner.unlink()


def in_mat(path: Path, random: Random) -> None:
    """A variable of a MATLAB file."""
    from scipy.io import loadmat, savemat

    arrays = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    name = random.choice(list(arrays))
    odd = np.empty(2, object)
    odd[:] = [np.arange(3), "x"]
    arrays[name] = random.choice(
        (_other(np.asarray(arrays[name]), random), odd, {"a": 1}, "text", [[], []], 1 + 2j)
    )
    savemat(path, arrays, do_compression=random.choice((True, False)))


def in_hdf5(path: Path, random: Random) -> None:
    """A dataset, an attribute or a link of an HDF5 file."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        name = random.choice(names)
        node = file[name]
        what = random.randrange(10)
        if what < 2 or not isinstance(node, h5py.Dataset):
            _in_attributes(random.choice((node, file)), random)
            return
        attributes = dict(node.attrs)
        values = node[()]
        del file[name]
        if what == 2:
            return
        if what == 3:
            file.create_group(name)
        elif what == 4:
            file[name] = random.choice(
                (
                    h5py.SoftLink("/nowhere"),
                    h5py.SoftLink("/" + name),
                    h5py.ExternalLink("/etc/passwd", "/"),
                )
            )
            return
        elif what == 5:
            shape = random.choice(((10**12,), (10**5, 10**8), (10**15,), (0,)))
            file.create_dataset(name, shape, "<f8", chunks=tuple(min(n, 1000) or 1 for n in shape))
        elif what == 6:
            file.create_dataset(name, data=h5py.Empty("f8"))
        elif what == 7:
            file.create_dataset(name, (3,), h5py.ref_dtype)
        else:
            file[name] = _other(np.asarray(values), random)
        for key, value in attributes.items():
            file[name].attrs[key] = value


def _in_attributes(node: Any, random: Random) -> None:
    keys = list(node.attrs)
    if not keys:
        return
    key = random.choice(keys)
    value = random.choice(
        (
            "x",
            "",
            0,
            -1,
            np.nan,
            1e300,
            np.arange(3),
            np.bytes_(b"\xff"),
            h5py.Empty("f8"),
            "é",
            None,
        )
    )
    del node.attrs[key]
    if value is not None:
        node.attrs[key] = value


BYTES: tuple[Callable[[Path, Random], None], ...] = (
    flip_bytes, flip_head, truncate, insert, splice, whole_numbers,
)  # fmt: skip

BY_SUFFIX: dict[str, tuple[Callable[[Path, Random], None], ...]] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), (in_cells,)),
    ".json": (in_json,),
    ".yaml": (in_yaml,),
    ".npz": (in_npz,),
    ".npy": (in_npy,),
    **dict.fromkeys((".parquet", ".pqt", ".arrow"), (in_table,)),
    ".safetensors": (in_tensors,),
    ".zip": (in_zip,),
    ".mat": (in_mat,),
}
