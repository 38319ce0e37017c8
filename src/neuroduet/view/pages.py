"""The files of the page: only those that lie in its folder, with the token put in."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parent / "page"

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[a-z]+)")
_IMPORT = re.compile(r'(\b(?:from|import)\s*\(?\s*)"(\./[A-Za-z0-9_-]+\.js)"')


def page_file(folder: Path, address: str, token: str) -> tuple[bytes, str] | None:
    """A file of the page and its type; ``None`` if there is none of that name.

    Args:
        folder: Where the files are.
        address: Path of the address, such as ``/`` or ``/view.js``.
        token: Takes the place of ``{{TOKEN}}``, and is added where a script imports another.
    """
    name = "index.html" if address == "/" else address.removeprefix("/")
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in TYPES or not (folder / name).is_file():
        return None
    content = (folder / name).read_bytes()
    if match[1] == ".html":
        content = content.replace(b"{{TOKEN}}", token.encode())
    elif match[1] == ".js":
        # What a browser imports has the address that stands in the script, and no header.
        content = _IMPORT.sub(rf'\1"\2?token={token}"', content.decode()).encode()
    return content, TYPES[match[1]]
