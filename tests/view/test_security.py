from __future__ import annotations

import json
import socket
import time
from contextlib import ExitStack, suppress

import pytest
from viewed import Client

from neuroduet.view.handler import refusal
from neuroduet.view.server import MOST_CONNECTIONS

TOKEN, PORT = "abc", 8000
GOOD = {"Host": "127.0.0.1:8000", "X-Token": TOKEN}


@pytest.mark.parametrize(
    "headers",
    [
        GOOD,
        {**GOOD, "Host": "localhost:8000"},
        {**GOOD, "Origin": "http://localhost:8000"},
        {name.lower(): value for name, value in GOOD.items()},
    ],
)
def test_the_page_itself_may_ask(headers: dict[str, str]) -> None:
    assert refusal(headers, None, TOKEN, PORT) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Host": "evil.example:8000"}, "another host"),
        ({"Host": "127.0.0.1:8001"}, "another host"),
        ({"Host": "127.0.0.1"}, "another host"),
        ({"Host": ""}, "another host"),
        ({"Origin": "http://evil.example"}, "another page"),
        ({"Origin": "https://127.0.0.1:8000"}, "another page"),
        ({"Origin": "null"}, "another page"),
        ({"origin": "http://evil.example"}, "another page"),
        ({"X-Token": "abd"}, "token"),
        ({"X-Token": "ab"}, "token"),
        ({"X-Token": ""}, "token"),
        ({"X-Token": "äbc"}, "token"),
    ],
)
def test_nobody_else_may(change: dict[str, str], said: str) -> None:
    sentence = refusal({**GOOD, **change}, None, TOKEN, PORT)
    assert sentence is not None
    assert said in sentence


def test_requests_without_or_with_a_wrong_token_learn_nothing(client: Client) -> None:
    for path in ("/", "/api/sessions", "/view.js", "/nothing", "/api/sessions?token=wrong"):
        status, content, _ = client.ask("GET", path, headers={})
        assert status == 403, path
        assert json.loads(content).keys() == {"error"}
        assert client.view.token.encode() not in content


def test_the_token_may_stand_in_the_address_of_what_only_tells(client: Client) -> None:
    token = client.view.token
    assert client.ask("GET", f"/api/sessions?token={token}", headers={})[0] == 200
    for path in ("/api/save", "/api/undo", "/api/labels", "/api/classes"):
        address = f"{path}?id=day1&token={token}"
        assert client.ask("POST", address, headers={}, body={})[0] == 403, path
        assert client.ask("GET", address, headers={})[0] == 404, path


def test_a_page_of_another_site_is_refused(client: Client) -> None:
    token = {"X-Token": client.view.token}
    foreign = {**token, "Origin": "http://evil.example"}
    assert client.ask("GET", "/api/sessions", headers=foreign)[0] == 403
    assert client.ask("POST", "/api/save?id=day1", headers=foreign, body={})[0] == 403
    rebound = {**token, "Host": f"evil.example:{client.view.port}"}
    assert client.ask("GET", "/api/sessions", headers=rebound)[0] == 403


def test_answers_allow_nothing_of_others(client: Client) -> None:
    _, _, headers = client.ask("GET", "/api/sessions")
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


def test_only_the_loopback_is_listened_to(client: Client) -> None:
    assert client.view._server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"x" * 70_000, 413), (b"[1]", 400), (b"{", 400), (b"[" * 60_000, 400), (b"\xff", 400)],
)
def test_changes_that_are_no_small_json_are_refused(
    client: Client, body: bytes, status: int
) -> None:
    found, content, _ = client.ask("POST", "/api/labels?id=day1", body=body)
    assert found == status
    assert json.loads(content).keys() == {"error"}


def test_addresses_that_make_no_sense_are_refused(client: Client) -> None:
    status, content, _ = client.ask("GET", "/api/sessions?" + "a=1&" * 50)
    assert status == 400
    assert "not understood" in json.loads(content)["error"]


@pytest.mark.parametrize(
    "text",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"DELETE /api/save HTTP/1.1\r\n\r\n",
        b"GET /api/sessions?" + b"a=1&" * 5000 + b" HTTP/1.1\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\n\r\n",
        b"POST /api/save HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ],
)
def test_requests_that_are_no_http_get_no_traceback(
    client: Client, text: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", client.view.port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"Traceback" not in answer
    assert client.get("sessions")["first"] == "day1"
    assert capfd.readouterr() == ("", "")


def test_what_a_browser_is_started_with_opens_the_page_once(client: Client) -> None:
    address = client.view.url_for_browser()
    path = address.partition(str(client.view.port))[2]
    assert client.view.token not in address
    assert client.ask("HEAD", path, headers={})[0] == 403
    status, content, headers = client.ask("GET", path, headers={})
    assert (status, content) == (303, b"")
    assert headers["Location"] == f"/?token={client.view.token}"
    assert client.ask("GET", path, headers={})[0] == 403
    for guess in ("/?ticket=", "/?ticket=x", "/"):
        assert client.ask("GET", guess, headers={})[0] == 403


@pytest.mark.parametrize(
    "length", ["0" * 20 + "70000", "000000000099999", "1e3", "-1", "+5", "5 5"]
)
def test_lengths_that_hide_how_long_a_change_is_are_refused(client: Client, length: str) -> None:
    headers = {"X-Token": client.view.token, "Content-Length": length}
    assert client.ask("POST", "/api/labels?id=day1", headers=headers)[0] in (400, 413)


def test_a_change_without_a_length_is_refused(client: Client) -> None:
    headers = {"X-Token": client.view.token, "Transfer-Encoding": "chunked"}
    assert client.ask("POST", "/api/save?id=day1", headers=headers, body=b"0\r\n\r\n")[0] == 413


def test_what_is_sent_with_a_question_is_not_taken_for_the_next(client: Client) -> None:
    hidden = b"POST /api/undo?id=day1 HTTP/1.1\r\n\r\n"
    text = (
        f"GET /api/sessions HTTP/1.1\r\nHost: 127.0.0.1:{client.view.port}\r\n"
        f"X-Token: {client.view.token}\r\nContent-Length: {len(hidden)}\r\n\r\n"
    )
    answer = talk(client, text.encode() + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_requests_that_trickle_in_are_cut_off(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neuroduet.view.handler.LONGEST_REQUEST_S", 0.4)
    with socket.create_connection(("127.0.0.1", client.view.port), timeout=10) as connection:
        start = time.monotonic()
        with suppress(OSError):
            for letter in b"GET /" + b"a" * 200:
                connection.sendall(bytes([letter]))
                time.sleep(0.05)
        assert time.monotonic() - start < 5


def test_connections_beyond_many_are_closed_and_later_ones_answered(client: Client) -> None:
    address = ("127.0.0.1", client.view.port)
    with ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(address, timeout=10))
        more = stack.enter_context(socket.create_connection(address, timeout=10))
        assert more.recv(10) == b""
    until = time.monotonic() + 10
    while True:
        try:
            assert client.get("sessions")["first"] == "day1"
            return
        except ConnectionError:
            assert time.monotonic() < until
            time.sleep(0.05)


def talk(client: Client, text: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", client.view.port), timeout=10) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))
