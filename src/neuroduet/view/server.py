"""The server of the page: this machine only, one token, nothing written but labels."""

from __future__ import annotations

import errno
import logging
import secrets
import threading
from contextlib import suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from neuroduet.errors import UserError
from neuroduet.view.handler import PAGE, Handler, same
from neuroduet.view.library import Library
from neuroduet.view.sources import find_sources

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
MOST_CONNECTIONS = 64
"""Connections at a time; a browser keeps six."""

MOST_AT_WORK = 4
"""Answers that are worked out at a time."""


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

    def url_for_browser(self) -> str:
        """An address that opens the page once.

        Others on this machine can see what a browser is started with.
        """
        return f"http://{HOST}:{self.port}/?ticket={self._server.ticket()}"

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
    if labels is not None and not Path(labels).parent.is_dir():
        raise UserError(f"there is no folder {Path(labels).parent} for {labels}; make it first")
    return View(Library(sources, None if labels is None else Path(labels)), port)


class Server(ThreadingHTTPServer):
    """Listens, and starts a thread for every connection, of which there may be only so many.

    Attributes:
        library: What there is to look at.
        page: Folder of the page's files.
        token: What every request must know.
        working: Held while something is found out that takes memory.
    """

    daemon_threads = True
    block_on_close = False
    # Connections that wait in a longer queue than the usual one need not ask again, seconds later.
    request_queue_size = MOST_CONNECTIONS
    library: Library
    page: Path
    token: str

    def __init__(self, port: int) -> None:
        """Begin to listen.

        Args:
            port: Port; 0 takes a free one.
        """
        self.working = threading.BoundedSemaphore(MOST_AT_WORK)
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._tickets: set[str] = set()
        super().__init__((HOST, port), Handler)

    def ticket(self) -> str:
        """A word that gives the token away, once."""
        made = secrets.token_urlsafe(24)
        self._tickets.add(made)
        return made

    def redeem(self, ticket: str) -> bool:
        """Whether a ticket is good; it never is again."""
        found = next((one for one in tuple(self._tickets) if same(ticket, one)), "")
        try:
            # Of two who bring one ticket at the same moment, one removes it.
            self._tickets.remove(found)
        except KeyError:
            return False
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread, if there are not too many."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer a connection, then make room for another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, most of the time: nothing to bother a user with."""
        log.debug("a request was cut off", exc_info=True)


def _listen(port: int) -> Server:
    if not 0 <= port <= 65535:
        raise UserError(f"the port is {port}, expected 0 to 65535; leave it out")
    try:
        return Server(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use" if taken else f"cannot be used ({error.strerror})"
        raise UserError(f"port {port} {reason}; choose another, or leave --port out") from None


def _warm(library: Library) -> None:
    # Whoever asks for the session gets the error.
    with suppress(UserError, OSError):
        library.session(library.sources.first)
