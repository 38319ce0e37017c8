from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from viewed import CLASSES, LENGTH_S, N_FRAMES, Client, activity, everything, film, write

from neuroduet.errors import UserError
from neuroduet.view import View, serve
from neuroduet.view.handler import page_file
from neuroduet.view.library import Library, Session
from neuroduet.view.sources import Source, find_sources


def window(**more: object) -> dict[str, object]:
    return {"id": "day1", "start": 0, "end": 10, "columns": 50, **more}


def test_a_session_says_what_it_holds(client: Client) -> None:
    assert client.get("sessions")["first"] == "day1"
    found = client.get("session", id="day1")
    assert (found["id"], found["start_s"], found["end_s"]) == ("day1", 0.0, LENGTH_S)
    assert found["trials"] == {"count": 10}
    assert [(one["name"], one["kind"], one["per"]) for one in found["behaviours"]] == [
        ("wheel", "continuous", "bin"),
        ("choice", "categorical", "trial"),
    ]
    assert found["behaviours"][1]["classes"] == ["-1", "1"]
    pose, actions = found["pose"], found["actions"]
    assert pose["keypoints"] == ["nose", "neck", "back", "tail"]
    assert pose["edges"] == [[0, 1], [1, 2], [2, 3]]
    assert (pose["animals"], pose["frames"], pose["rate_hz"]) == (1, N_FRAMES, 25.0)
    assert actions["classes"] == list(CLASSES)
    assert not actions["predicted"]
    units = found["activity"]["units"]
    assert [unit["region"] for unit in units] == ["CA1"] * 3 + ["VIS"] * 3
    rates_hz = [client.get("unit", id="day1", index=unit["index"])["rate_hz"] for unit in units]
    assert sum(rates_hz) == pytest.approx(120, rel=1e-4)


def test_trials_say_their_split(client: Client) -> None:
    found = client.get("trials", id="day1", start=3.5, end=8.5)["trials"]
    assert found == [
        {"start": 4.0, "end": 7.0, "index": 1, "split": "train", "label": "choice=1"},
        {"start": 8.0, "end": 11.0, "index": 2, "split": "train", "label": "choice=1"},
    ]


@pytest.mark.parametrize(
    ("which", "time", "index"),
    [("next", 0, 8), ("next", 32.0, 9), ("next", 36.0, None)]
    + [("previous", 40, 9), ("previous", 36.0004, 8), ("previous", 32.0, None)],
)
def test_the_nearest_test_trial_is_found(
    client: Client, which: str, time: float, index: int | None
) -> None:
    found = client.get("test_trial", id="day1", which=which, time=time)["trial"]
    assert found is None if index is None else found["index"] == index


def test_test_trials_are_looked_for_in_one_of_two_directions(client: Client) -> None:
    said = client.refused("test_trial", id="day1", which="nearest", time=0)
    assert "next, previous" in said


@pytest.mark.parametrize("path", ["counts", "traces", "pose", "animals"])
def test_recordings_that_lack_most_things_can_be_seen(tmp_path: Path, path: str) -> None:
    groups = activity(path) if path in ("counts", "traces") else film(animals=2)
    with serve(write(tmp_path / "day1.h5", **groups)) as view:
        client = Client(view)
        found = client.get("session", id="day1")
        assert client.get("trials", id="day1", start=0, end=10)["trials"] == []
        if found["activity"]:
            assert client.get("unit", id="day1", index=2)["isi_ms"] is None
            assert "no pose" in client.refused("pose", **window())
            assert "no frames" in client.refused("actions", **window())
        else:
            assert found["pose"]["animals"] == 2
            assert "no neural activity" in client.refused("raster", **window())


@pytest.mark.parametrize(
    ("what", "query", "said"),
    [
        ("raster", window(columns=0), "from 1 to 4000"),
        ("raster", window(columns=4001), "from 1 to 4000"),
        ("raster", window(columns="9" * 5000), "from 1 to 4000"),
        ("raster", window(columns="x"), "whole number"),
        ("raster", window(start="nan"), "number of seconds"),
        ("raster", window(end="inf"), "number of seconds"),
        ("raster", window(end="1e308"), "number of seconds"),
        ("raster", window(end=-5), "ends at"),
        ("raster", {"start": 0, "end": 1, "columns": 5}, "no 'id'"),
        ("raster", window(id="day2"), "did you mean 'day1'"),
        ("raster", window(id="../day1"), "unknown session"),
        ("unit", {"id": "day1", "index": 6}, "from 0 to 5"),
        ("unit", {"id": "day1", "index": -1}, "from 0 to 5"),
        ("bout", {"id": "day1", "frame": 0, "track": "guess"}, "unknown track"),
        ("bout", {"id": "day1", "frame": 0, "track": "predicted"}, "nothing predicts"),
        ("rates", window(), "no rates"),
        ("nothing", {}, "nothing at"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(
    client: Client, what: str, query: dict[str, object], said: str
) -> None:
    sentence = client.refused(what, **query)
    assert said in sentence
    assert "Traceback" not in sentence
    assert "\n" not in sentence


def test_windows_beyond_the_recording_are_empty(client: Client) -> None:
    far = window(start=1e6, end=2e6)
    assert client.get("actions", **far)["true"] == []
    assert client.get("trials", **far)["trials"] == []
    assert len(client.get("raster", **far)) == 16
    assert len(client.get("pose", **far)) == 32


def test_head_answers_without_content(client: Client) -> None:
    status, content, headers = client.ask("HEAD", "/api/sessions")
    assert (status, content) == (200, b"")
    assert int(headers["Content-Length"]) > 10


def test_requests_side_by_side_get_the_answers_of_requests_in_turn(client: Client) -> None:
    queries = [("raster", window(start=n, end=n + 5)) for n in range(8)]
    queries += [("pose", window(start=n, end=n + 5)) for n in range(8)]
    queries += [("trace", window(name="wheel", start=n, end=n + 5)) for n in range(8)]
    expected = [client.get(what, **query) for what, query in queries]
    found: dict[int, object] = {}

    def ask(number: int) -> None:
        what, query = queries[number]
        found[number] = client.get(what, **query)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(len(queries))] == expected


def test_a_client_that_hangs_up_leaves_the_terminal_alone(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", client.view.port)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            asked = f"GET /api/sessions?token={client.view.token} HTTP/1.1\r\nHost: "
            connection.sendall(f"{asked}127.0.0.1:{client.view.port}\r\n\r\n".encode())
    client.get("sessions")
    assert capfd.readouterr() == ("", "")


def test_the_page_is_served_with_the_token_put_in(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text('<script src="/view.js?token={{TOKEN}}"></script>')
    (page / "view.js").write_text('import { draw } from "./draw.js";\nconst x = "./no.js";\n')
    (page / "secret.txt").write_text("no")
    library = Library(find_sources(everything(tmp_path / "day1.h5"), None, None), None)
    with View(library, page=page) as view:
        with urllib.request.urlopen(view.url) as answer:
            assert answer.read().decode() == f'<script src="/view.js?token={view.token}"></script>'
        client = Client(view)
        assert client.ask("GET", "/view.js")[1].decode() == (
            f'import {{ draw }} from "./draw.js?token={view.token}";\nconst x = "./no.js";\n'
        )
        for path in ("/secret.txt", "/../day1.h5", "/page", "/%2e%2e/day1.h5", "/."):
            assert client.ask("GET", path)[0] == 404, path


@pytest.mark.parametrize(
    "address", ["/../server.py", "/..", "/page/../view.js", "/.html", "/a\0.js", "/view.py", ""]
)
def test_nothing_but_the_page_is_served(address: str) -> None:
    from neuroduet.view.handler import PAGE

    assert page_file(PAGE, address, "token") is None


def test_a_port_in_use_is_said_in_a_sentence(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"port {client.view.port} is in use"):
        serve(tmp_path / "day1.h5", port=client.view.port)
    with pytest.raises(UserError, match="65535"):
        serve(tmp_path / "day1.h5", port=70_000)


def test_what_cannot_be_seen_is_said_in_a_sentence(tmp_path: Path) -> None:
    everything(tmp_path / "day1.h5")
    everything(tmp_path / "day2.h5")
    with pytest.raises(UserError, match="nothing at"):
        serve(tmp_path / "gone")
    with pytest.raises(UserError, match="unknown session 'day'"):
        serve(tmp_path, session="day")
    with pytest.raises(UserError, match="--session"):
        serve(tmp_path, labels=tmp_path / "labels.csv")
    with pytest.raises(UserError, match="no folder"):
        serve(tmp_path / "day1.h5", labels=tmp_path / "gone" / "labels.csv")


def test_a_damaged_recording_is_said_by_the_page(tmp_path: Path) -> None:
    path = everything(tmp_path / "day1.h5")
    sources = find_sources(path, None, None)
    path.write_bytes(b"no")
    with View(Library(sources, None)) as view:
        assert "not an HDF5 file" in Client(view).refused("session", id="day1")


def test_closing_waits_for_what_is_being_opened_and_opens_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slowly(source: Source) -> Session:
        begun.set()
        go_on.wait(10)
        done.set()
        raise UserError("too late")

    monkeypatch.setattr("neuroduet.view.library._open", slowly)
    library = Library(find_sources(everything(tmp_path / "day1.h5"), None, None), None)
    view = View(library)
    assert begun.wait(10)
    threading.Timer(0.2, go_on.set).start()
    view.close()
    assert done.is_set()
    with pytest.raises(UserError, match="closing"):
        library.session("day1")


def test_the_command_prints_one_line_and_ends_with_control_c(tmp_path: Path) -> None:
    path = everything(tmp_path / "day1.h5")
    command = [sys.executable, "-m", "neuroduet", "view", str(path), "--no-browser", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Tests that run in the background of a shell ignore Ctrl-C, and so would their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            assert running.stdout is not None
            found = json.loads(running.stdout.readline())
            assert found["url"] == f"http://127.0.0.1:{found['port']}/?token={found['token']}"
            address = f"http://127.0.0.1:{found['port']}/api/sessions?token={found['token']}"
            with urllib.request.urlopen(address) as answer:
                assert json.load(answer)["first"] == "day1"
            running.send_signal(signal.SIGINT)
            rest, said = running.communicate(timeout=20)
        finally:
            running.kill()
    assert (running.returncode, rest) == (0, "")
    assert "Traceback" not in said
