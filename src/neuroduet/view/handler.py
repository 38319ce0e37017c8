"""How one request is read and answered: who may ask, how long it may take, what comes back."""

from __future__ import annotations

import hmac
import io
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from neuroduet.errors import UserError
from neuroduet.plain import printable
from neuroduet.view.answers import ANSWERS, CHANGES, Answer
from neuroduet.view.wire import Later, Query

if TYPE_CHECKING:
    from neuroduet.view.server import Server

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"

LARGEST_BODY = 1 << 16
"""Bytes of a change."""

MOST_PARAMETERS = 20

LONGEST_REQUEST_S = 60.0
"""From the answer before to the last byte of a request; browsers connect anew after that."""

LONGEST_ANSWER_S = 60.0
"""Until somebody took an answer that was sent."""

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing of others is loaded, and nothing is kept or framed."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[a-z]+)")
_IMPORT = re.compile(r'(\b(?:from|import)\s*\(?\s*)"(\./[A-Za-z0-9_-]+\.js)"')


def refusal(
    headers: Mapping[str, str], from_query: str | None, token: str, port: int
) -> str | None:
    """Why a request is refused, or ``None`` if it may pass.

    A page of another site can make a browser ask for an address on this machine, also by a name
    of its own that it lets point here. It can neither choose the headers ``Host`` and ``Origin``
    nor read the token.

    Args:
        headers: Of the request, in any case.
        from_query: Token in the address, if one may stand there.
        token: The right one.
        port: Port of this server.
    """
    given = {name.lower(): value for name, value in headers.items()}
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    if given.get("host") not in hosts:
        return "the request is meant for another host; open the address that was printed"
    origin = given.get("origin")
    if origin is not None and origin not in [f"http://{host}" for host in hosts]:
        return "the request comes from another page; open the address that was printed"
    if not same(given.get("x-token") or from_query or "", token):
        return "the token is missing or wrong; open the address that was printed"
    return None


def same(given: str, secret: str) -> bool:
    """Whether two texts are equal; how long it takes tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


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


class _Patient(io.RawIOBase):
    """Reads a connection until a moment, however slowly it is fed."""

    def __init__(self, connection: socket) -> None:
        self._connection = connection
        self.until = 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self.until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left_s)
        return self._connection.recv_into(buffer)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "neuroduet"
    sys_version = ""
    # Answers are small and many; waiting to fill packets would cost 40 ms each.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Read with patience, but not for ever."""
        super().setup()
        self._patient = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._patient)

    def handle_one_request(self) -> None:
        """Read a request and answer it."""
        self._patient.until = time.monotonic() + LONGEST_REQUEST_S
        super().handle_one_request()

    def do_GET(self) -> None:
        """Tell."""
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            # Its content would be taken for the next request.
            self.close_connection = True
        self._respond(self._told)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Change."""
        self._respond(self._changed)

    def _respond(self, find: Callable[[str, Query], None]) -> None:
        try:
            path, given = _parsed(self.path)
            if self.command == "GET" and self.server.redeem(given.get("ticket", "")):
                self._send(303, b"", TYPES[".html"], {"Location": f"/?token={self.server.token}"})
                return
            in_query = None if self.command == "POST" else given.get("token")
            refused = refusal(
                dict(self.headers.items()), in_query, self.server.token, self.server.server_port
            )
            if refused is not None:
                self._fail(403, refused)
                return
            find(path, Query(given))
        except (BrokenPipeError, ConnectionError, TimeoutError):
            raise
        except UserError as error:
            self._fail(202 if isinstance(error, Later) else 400, str(error))
        except Exception as error:
            log.debug("a request failed", exc_info=True)
            reason = f"{type(error).__name__}: {error}"[:200]
            self._fail(500, f"the request failed ({reason}); try another one")

    def _told(self, path: str, query: Query) -> None:
        if path in ANSWERS:
            with self.server.working:
                found = ANSWERS[path](self.server.library, query)
            self._answer(found)
            return
        file = page_file(self.server.page, path, self.server.token)
        if file is None:
            self._fail(404, f"there is nothing at {path[:80]}; open the address that was printed")
        else:
            self._send(200, *file)

    def _changed(self, path: str, query: Query) -> None:
        if path not in CHANGES:
            self._fail(404, f"nothing can be changed at {path[:80]}; use the page")
            return
        body = self._body()
        if body is not None:
            self._answer(CHANGES[path](self.server.library, query, body))

    def _body(self) -> dict[str, Any] | None:
        """What was sent, or ``None`` after an answer that it cannot be read."""
        length = self.headers.get("Content-Length", "0")
        plain = len(length) < 10 and length.isascii() and length.isdecimal()
        if not plain or int(length) > LARGEST_BODY or "Transfer-Encoding" in self.headers:
            self._fail(
                413, f"the change is too long or has no length; send at most {LARGEST_BODY} bytes"
            )
            return None
        try:
            found = json.loads(self.rfile.read(int(length)) or b"{}")
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self._fail(400, "the change is no JSON object; send one")
            return None
        return found

    def _answer(self, found: Answer) -> None:
        if isinstance(found, bytes):
            self._send(200, found, "application/octet-stream")
        else:
            self._send_json(200, found)

    def _fail(self, status: int, sentence: str) -> None:
        # What was sent and not read would be taken for the next request.
        self.close_connection = True
        self._send_json(status, {"error": printable(" ".join(sentence.split()))})

    def _send_json(self, status: int, found: Any) -> None:
        text = json.dumps(found, allow_nan=False, separators=(",", ":"))
        self._send(status, text.encode(), "application/json; charset=utf-8")

    def _send(
        self, status: int, content: bytes, kind: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.connection.settimeout(LONGEST_ANSWER_S)
        self.send_response(status)
        for name, value in {**HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Requests that are no HTTP get a sentence too."""
        self.close_connection = True
        self.command = self.command or "GET"
        self._send_json(
            code, {"error": f"{message or 'the request is not understood'}; try again"}
        )

    def log_message(self, format: str, *args: Any) -> None:
        """To the log and not to the terminal; without the address, which holds the token."""
        log.debug("%s %s", self.command, getattr(self, "path", "").partition("?")[0])


def _parsed(address: str) -> tuple[str, dict[str, str]]:
    """Path and parameters of an address."""
    try:
        parts = urlsplit(address)
        return parts.path, dict(parse_qsl(parts.query, max_num_fields=MOST_PARAMETERS))
    except ValueError as error:
        raise UserError("the address is not understood; open the one that was printed") from error
