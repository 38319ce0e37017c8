"""Small recordings to look at, and a client that asks as the page does."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from torch_brain.data import (
    ArrayDict,
    Data,
    Interval,
    IrregularTimeSeries,
    SessionDescription,
    SubjectDescription,
)

from neuroduet.data.recording import save
from neuroduet.view import View

N_UNITS, LENGTH_S, RATE_HZ = 6, 40.0, 25.0
N_FRAMES = int(LENGTH_S * RATE_HZ)
CLASSES = ("rest", "groom", "run")


def series(times: np.ndarray, **columns: np.ndarray) -> IrregularTimeSeries:
    """A time series over the whole recording."""
    return IrregularTimeSeries(timestamps=times, domain=Interval(0.0, LENGTH_S), **columns)


def spikes(seed: int = 0, rate_hz: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """Times and units of spikes, sorted by time."""
    rng = np.random.default_rng(seed)
    n_spikes = int(rate_hz * LENGTH_S * N_UNITS)
    return np.sort(rng.uniform(0, LENGTH_S, n_spikes)), rng.integers(0, N_UNITS, n_spikes)


def activity(kind: str) -> dict[str, Any]:
    """Groups of neural activity of a kind."""
    units = ArrayDict(
        id=np.array([f"u{n}" for n in range(N_UNITS)]),
        region=np.array(["VIS", "CA1", "VIS", "CA1", "VIS", "CA1"]),
        depth_um=np.array([50.0, 10.0, 20.0, np.nan, 30.0, 5.0]),
    )
    if kind == "spikes":
        times, index = spikes()
        return {"spikes": series(times, unit_index=index), "units": units}
    rng = np.random.default_rng(1)
    centres = (np.arange(2000) + 0.5) * 0.02
    values = (
        rng.poisson(2.0, (2000, N_UNITS)) if kind == "counts" else rng.normal(size=(2000, N_UNITS))
    )
    return {kind: series(centres, values=values), "units": units, "bin_size_s": 0.02}


def labels() -> np.ndarray:
    """Bouts of a second, some of them unlabelled."""
    codes = np.random.default_rng(2).integers(-1, len(CLASSES), N_FRAMES // 25)
    return np.repeat(codes, 25).astype(np.int64)


def film(animals: int = 1, labelled: bool = True) -> dict[str, Any]:
    """Pose, and labels of it."""
    rng = np.random.default_rng(3)
    times = np.arange(N_FRAMES) / RATE_HZ
    centre = np.cumsum(rng.normal(size=(N_FRAMES, animals, 1, 2)), axis=0)
    # Four points on a line, one unit apart.
    body = np.stack([np.arange(4.0), np.zeros(4)], axis=-1)
    xy = centre + body
    xy[100:120] = np.nan
    found: dict[str, Any] = {
        "pose": series(times, xy=xy[:, 0] if animals == 1 else xy),
        "keypoints": ArrayDict(name=np.array(["nose", "neck", "back", "tail"])),
    }
    if labelled:
        found["labels"] = series(times, classes=labels())
        found["label_classes"] = ArrayDict(name=np.array(CLASSES))
    return found


def trials() -> Interval:
    """Ten trials of three seconds."""
    start = np.arange(10) * 4.0
    choice = np.where(np.arange(10) % 3 == 0, -1, 1)
    split = np.array(["train"] * 7 + ["valid"] + ["test"] * 2)
    return Interval(start, start + 3, choice=choice, split=split)


def wheel() -> tuple[np.ndarray, np.ndarray]:
    """Times and speed of a wheel, with missing values."""
    times = np.arange(0, LENGTH_S, 0.005)
    speed = np.random.default_rng(4).normal(size=len(times))
    speed[1000:1200] = np.nan
    return times, speed


def write(path: Path, **groups: Any) -> Path:
    """Save a recording that is called like its file."""
    recording = Data(
        domain=Interval(0.0, LENGTH_S),
        session=SessionDescription(id=path.stem),
        subject=SubjectDescription(id="mouse"),
        **groups,
    )
    save(recording, path)
    return path


def everything(path: Path) -> Path:
    """Spikes, wheel, choices, pose, labels and trials in one recording."""
    times, speed = wheel()
    return write(
        path,
        **activity("spikes"),
        **film(),
        wheel=series(times, wheel_speed=speed),
        trials=trials(),
    )


class Client:
    """Asks a viewer as the page does."""

    def __init__(self, view: View) -> None:
        self.view = view

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, bytes, dict[str, str]]:
        """Status, content and headers of one answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.view.port, timeout=20)
        sent = {"X-Token": self.view.token} if headers is None else headers
        content = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, content, sent)
        answer = connection.getresponse()
        found = answer.status, answer.read(), dict(answer.getheaders())
        connection.close()
        return found

    def get(self, what: str, **query: Any) -> Any:
        """JSON, or bytes, of an address that must answer."""
        status, content, headers = self.ask("GET", f"/api/{what}?{urlencode(query)}")
        assert status == 200, content
        return json.loads(content) if "json" in headers["Content-Type"] else content

    def refused(self, what: str, **query: Any) -> str:
        """The sentence of an address that must not answer."""
        status, content, _ = self.ask("GET", f"/api/{what}?{urlencode(query)}")
        assert 400 <= status < 500, (status, content)
        return str(json.loads(content)["error"])

    def post(self, what: str, body: Any = None, **query: Any) -> Any:
        """JSON of a change that must be made."""
        status, content, _ = self.ask("POST", f"/api/{what}?{urlencode(query)}", body=body or {})
        assert status == 200, content
        return json.loads(content)


def image(content: bytes) -> tuple[np.ndarray, float]:
    """Values of an image (rows x columns) and what 255 means."""
    mode, rows, columns, count = np.frombuffer(content[:16], "<u4")
    assert (mode, count) == (2, 0)
    scale = float(np.frombuffer(content[16:20], "<f4")[0])
    pixels = np.frombuffer(content[20:], np.uint8).reshape(int(rows), int(columns))
    return pixels * (scale / 255), scale


def events(content: bytes) -> tuple[np.ndarray, np.ndarray, int]:
    """Times, rows and number of rows of spikes sent one by one."""
    mode, rows, columns, count = (int(x) for x in np.frombuffer(content[:16], "<u4"))
    assert (mode, columns) == (1, 0)
    times = np.frombuffer(content[16 : 16 + 4 * count], "<f4")
    return times, np.frombuffer(content[16 + 4 * count :], "<u2"), rows
