"""The server of the page: this machine only, one token, nothing written but labels."""

from __future__ import annotations

import errno
import json
import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from neuroduet.errors import UserError
from neuroduet.plain import printable
from neuroduet.view.answers import ANSWERS, CHANGES, Answer
from neuroduet.view.library import Library
from neuroduet.view.pages import PAGE, page_file
from neuroduet.view.wire import Query
from neuroduet.view.security import HEADERS, refusal
from neuroduet.view.sources import find_sources

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LARGEST_BODY = 1 << 16
"""Bytes of a change."""

MOST_PARAMETERS = 20


class View:
    """A running viewer; leaving its block, or :meth:`close`, ends it.

    Attributes:
        token: What every request must know.
        port: Where it listens.
        hint: A command that would show more; empty if none.
    """

    def __init__(self, library: Library, port: int = 0, page: Path = PAGE) -> None:
        """Start to listen and to open the first session.

        Args:
            library: What there is to look at.
            port: Port; 0 takes a free one.
            page: Folder of the page's files.

        Raises:
            UserError: The port cannot be used.
        """
        self.token = secrets.token_urlsafe(24)
        self.hint = library.sources.hint
        self._closed = threading.Event()
        self._server = _listen(port)
        self._server.library, self._server.page = library, page
        self._server.token = self.token
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="neuroduet-view", daemon=True
        )
        self._thread.start()
        # The page will ask for it before it has drawn itself.
        threading.Thread(target=_warm, args=(library,), daemon=True).start()

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def wait(self) -> None:
        """Return when the viewer was closed, or raise ``KeyboardInterrupt``."""
        while not self._closed.wait(0.5):
            pass

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server.library.close()
        self._closed.set()

    def __enter__(self) -> View:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def serve(
    path: Path | str,
    data: Path | str | None = None,
    session: str | None = None,
    port: int = 0,
    labels: Path | str | None = None,
) -> View:
    """Serve a page to look at recordings, on this machine only, in a thread.

    Args:
        path: Run folder with predictions, recording, folder of recordings, or actions that
            ``actions predict`` wrote.
        data: Recordings, where ``path`` holds none.
        session: Session to begin with.
        port: Port; 0 takes a free one.
        labels: File for corrected labels; ``<recording>.labels.csv`` beside the recording if not
            given. One that exists is where work goes on.

    Returns:
        The running viewer.

    Raises:
        UserError: There is nothing to look at, or the port is in use.
    """
    sources = find_sources(Path(path), None if data is None else Path(data), session)
    if labels is not None and session is None and len(sources.recordings) > 1:
        raise UserError(
            f"{path} holds {len(sources.recordings)} recordings and --labels names one file; "
            "choose one with --session"
        )
    return View(Library(sources, None if labels is None else Path(labels)), port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    library: Library
    page: Path
    token: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, most of the time: nothing to bother a user with."""
        log.debug("a request was cut off", exc_info=True)


def _listen(port: int) -> _Server:
    if not 0 <= port <= 65535:
        raise UserError(f"the port is {port}, expected 0 to 65535; leave it out")
    try:
        return _Server((HOST, port), _Handler)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} {reason}; choose another, or leave --port out") from None


def _warm(library: Library) -> None:
    # Whoever asks for the session gets the error.
    with suppress(UserError, OSError):
        library.session(library.sources.first)


def _parsed(address: str) -> tuple[str, dict[str, str]]:
    """Path and parameters of an address."""
    try:
        parts = urlsplit(address)
        return parts.path, dict(parse_qsl(parts.query, max_num_fields=MOST_PARAMETERS))
    except ValueError as error:
        raise UserError("the address is not understood; open the one that was printed") from error


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "neuroduet"
    sys_version = ""
    timeout = 120
    # Answers are small and many; waiting to fill packets would cost 40 ms each.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Tell."""
        self._respond(self._told)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Change."""
        self._respond(self._changed)

    def _respond(self, find: Callable[[str, Query], None]) -> None:
        try:
            path, given = _parsed(self.path)
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
            self._fail(400, str(error))
        except Exception as error:
            log.debug("a request failed", exc_info=True)
            reason = f"{type(error).__name__}: {error}"[:200]
            self._fail(500, f"the request failed ({reason}); try another one")

    def _told(self, path: str, query: Query) -> None:
        if path in ANSWERS:
            self._answer(ANSWERS[path](self.server.library, query))
            return
        found = page_file(self.server.page, path, self.server.token)
        if found is None:
            self._fail(404, f"there is nothing at {path[:80]}; open the address that was printed")
        else:
            self._send(200, *found)

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
        if not length.isdecimal() or int(length[:9]) > LARGEST_BODY:
            self._fail(413, f"the change is too long, expected at most {LARGEST_BODY} bytes")
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

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
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
