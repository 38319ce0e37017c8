"""Who may ask: only the page that this server gave to whoever knows the token."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every answer: nothing of others is loaded, and nothing is kept or framed."""


def refusal(
    headers: Mapping[str, str], from_query: str | None, token: str, port: int
) -> str | None:
    """Why a request is refused, or ``None`` if it may pass.

    A page of another site can make a browser ask for an address on this machine, also by a name
    of its own that it lets point here. It can neither choose the headers ``Host`` and ``Origin``
    nor read the token.

    Args:
        headers: Of the request.
        from_query: Token in the address, if one may stand there.
        token: The right one.
        port: Port of this server.
    """
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    if headers.get("Host") not in hosts:
        return "the request is meant for another host; open the address that was printed"
    origin = headers.get("Origin")
    if origin is not None and origin not in [f"http://{host}" for host in hosts]:
        return "the request comes from another page; open the address that was printed"
    given = headers.get("X-Token") or from_query or ""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return "the token is missing or wrong; open the address that was printed"
    return None
