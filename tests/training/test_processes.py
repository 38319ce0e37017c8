from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tiny_runs import SMALL

from neuroduet.config import Config, override
from neuroduet.errors import UserError
from neuroduet.training.jobs import run_jobs

WAITING = """
import os, time
from pathlib import Path

def wait(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(120)
"""

SCRIPT = """
import sys
from neuroduet.training.jobs import run_jobs
from waiting import wait

run_jobs([(wait, (sys.argv[1],)), (wait, (sys.argv[1] + "2",))])
"""

JOBS = """
import json, os, sys
from pathlib import Path

def note(path, config, names, nothing, settings):
    found = {"seed": config.training.seed, "names": names, "nothing": nothing,
             "settings": settings, "pid": os.getpid(),
             "main": getattr(sys.modules["__main__"], "__file__", "")}
    Path(path).write_text(json.dumps(found))

def wrong(path):
    from neuroduet.errors import UserError
    raise UserError("no such thing; give another")

def fault(path):
    raise KeyError("inside")

def gone(path):
    os._exit(9)
"""


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "zombie" not in Path(f"/proc/{process}/status").read_text()


def until(condition: Callable[[], object], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A module with functions to run, which only this process has put on its path."""
    (tmp_path / "some_jobs.py").write_text(JOBS)
    monkeypatch.syspath_prepend(str(tmp_path))
    import some_jobs

    yield some_jobs
    del sys.modules["some_jobs"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_do_not_outlive_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    script, note = tmp_path / "script.py", tmp_path / "worker"
    script.write_text(SCRIPT)
    (tmp_path / "waiting.py").write_text(WAITING)
    words = [sys.executable, str(script), str(note)]
    # In the background of a shell, processes would be deaf to interrupts.
    hearing = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    parent = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hearing,
        env=os.environ | {"TMPDIR": str(tmp_path)},  # a killed process cannot tidy up
    )
    assert until(lambda: note.exists() and note.read_text(), 60)
    worker = int(note.read_text())
    assert is_running(worker)
    parent.send_signal(how)
    said = parent.communicate()[1]
    assert until(lambda: not is_running(worker), 15)
    interrupted = how == signal.SIGINT
    assert said.count("Traceback") == interrupted  # of the script alone
    assert ("stopped when 0 of 2 trainings were done" in said) == interrupted


def test_a_process_gets_what_it_is_given_and_does_not_run_the_script_again(
    tmp_path: Path, jobs
) -> None:
    config = override(Config(), ["training.seed=7"])
    seen: list[tuple[int, int]] = []
    given = [
        (jobs.note, (tmp_path / f"{name}.json", config, ["a", "b"], None, {"training.seed": 3}))
        for name in "xy"
    ]
    run_jobs(given, 2, lambda done, total, value: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for name in "xy":
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["pid"] != os.getpid()
        assert Path(found["main"]).name == "worker.py"
        assert (found["seed"], found["names"], found["nothing"]) == (7, ["a", "b"], None)
        assert found["settings"] == {"training.seed": 3}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("wrong", UserError, "^no such thing; give another$"),
        ("fault", RuntimeError, "KeyError: 'inside'"),
        ("gone", UserError, r"ended from outside \(exit code 9\).*resume=True"),
    ],
)
def test_what_goes_wrong_in_a_process_is_said_here(tmp_path: Path, jobs, name, kind, said) -> None:
    job = (getattr(jobs, name), (tmp_path / "x",))
    with pytest.raises(kind, match=said):
        run_jobs([job, job, job], 2)


def test_what_only_this_process_knows_is_done_in_it(
    tmp_path: Path, jobs, caplog: pytest.LogCaptureFixture
) -> None:
    given = [(jobs.note, (tmp_path / name, Config(), [], None, {})) for name in "xy"]
    run_jobs(given, 2, known_here=["model 'mine'"])
    assert {json.loads((tmp_path / name).read_text())["pid"] for name in "xy"} == {os.getpid()}
    (said,) = [r.getMessage() for r in caplog.records]
    assert said.startswith("model 'mine' is known to this process alone")


USER_SCRIPT = """
import sys
from pathlib import Path
import neuroduet
from neuroduet.config import Config, override
from neuroduet.masking import SCHEMES

with open("runs.txt", "a") as file:
    file.write("once\\n")

def mine(batch, draw):
    return SCHEMES["neuron"](batch, draw)

if len(sys.argv) > 2:
    SCHEMES["mine"] = mine
settings = sys.argv[1].split("|")
neuroduet.train(override(Config(), settings), "data", "run")
"""


@pytest.mark.slow
@pytest.mark.parametrize("registered", [False, True])
def test_a_script_without_a_guard_trains_an_ensemble(
    data: Path, tmp_path: Path, registered: bool
) -> None:
    (tmp_path / "script.py").write_text(USER_SCRIPT)
    (tmp_path / "data").symlink_to(data)
    scheme = ["masking.schemes={mine: 1}"] if registered else []
    settings = "|".join([*SMALL, *scheme, "training.members=2", "training.max_steps=1"])
    words = [sys.executable, "script.py", settings, *(["yes"] if registered else [])]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs.txt").read_text() == "once\n"
    assert len(list((tmp_path / "run" / "members").glob("*/model/config.json"))) == 2
    assert ("masking scheme 'mine' is known to this process alone" in done.stderr) == registered
