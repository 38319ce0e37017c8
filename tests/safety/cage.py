"""A process of its own that reads suspicious files, and reports what became of it.

The parent survives what the child may not: a crash of a C library, a file that never ends, a claim
of more memory than there is. The child listens to the audit events of Python, so that it knows
whether a file made it run, start, import, open or connect to anything.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LIMIT_S = 20.0
MEMORY = 3 << 30
"""Bytes that reading one spoilt file of a few kilobytes may claim (address space)."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file.

    Attributes:
        kind: ``read``, ``refused`` (one sentence), or an escape: ``escaped`` (another error),
            ``hung``, ``crashed``.
        said: The sentence or the error.
        events: What the file made the process do that reading does not need.
    """

    kind: str
    said: str = ""
    events: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """Whether it was read or refused, and nothing else happened."""
        return self.kind in ("read", "refused") and not self.events


class Cage:
    """Reads files in a child process, which is replaced when it dies."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cage-"))
        self._child: subprocess.Popen[str] | None = None
        self._warm: set[str] = set()

    def specimen(self, name: str) -> Path:
        """A folder with the valid files of a specimen, which the child has read once.

        What reading needs is imported then, so that later imports are news.
        """
        folder = self.folder / "valid" / name
        if name not in self._warm:
            outcome = self._ask({"do": "make", "name": name, "folder": str(folder)}, 120.0)
            assert outcome.kind == "read", f"{name}: {outcome}"
            self._warm.add(name)
        return folder

    def spoilt(self, name: str, chance: random.Random) -> tuple[Outcome, str]:
        """Spoil one file of a specimen, read it, and say how it was spoilt."""
        from mangled import spoil
        from specimens import SPECIMENS

        source, folder = self.specimen(name), self.folder / "spoilt"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        victims = sorted(
            {path for glob in SPECIMENS[name].victims for path in folder.glob(glob)
             if path.is_file()}
        )  # fmt: skip
        victim = chance.choice(victims)
        done = spoil(victim, chance)
        return self.read(name, folder), f"{victim.relative_to(folder)}: {done}"

    def read(self, name: str, folder: Path) -> Outcome:
        """Read a folder as if it were a specimen of this name."""
        self.specimen(name)
        return self._ask({"do": "load", "name": name, "folder": str(folder)}, LIMIT_S)

    def close(self) -> None:
        """End the child and remove its files."""
        if self._child is not None:
            self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ask(self, question: dict[str, str], limit_s: float) -> Outcome:
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(question) + "\n")
        child.stdin.flush()
        ready, _, _ = select.select([child.stdout], [], [], limit_s)
        if not ready:
            self._end()
            return Outcome(kind="hung", said=f"no answer in {limit_s:g} s")
        line = child.stdout.readline()
        if not line:
            code = child.wait()
            self._end()
            name = signal.Signals(-code).name if code < 0 else str(code)
            return Outcome(kind="crashed", said=name)
        answer: dict[str, Any] = json.loads(line)
        return Outcome(kind=answer["kind"], said=answer["said"], events=tuple(answer["events"]))

    def _start(self) -> subprocess.Popen[str]:
        (self.folder / "valid").mkdir(parents=True, exist_ok=True)
        self._child = subprocess.Popen(
            [sys.executable, str(HERE / "cage.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,  # what a file makes it write must not lie in the project
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "0"},
        )
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        self._warm.clear()
        if child is None:
            return
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


class Watch:
    """Audit events while a file is read, except those that reading needs."""

    ALWAYS = (
        "pickle.find_class", "os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn",
        "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.bind",
        "socket.getaddrinfo", "ctypes.dlopen", "code.__new__", "builtins.input", "webbrowser.open",
        "urllib.Request", "shutil.rmtree", "os.symlink", "os.link", "os.chmod", "os.kill",
    )  # fmt: skip
    OURS = ("<template>",)
    """The template of the report, which is a file of the package."""

    CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate")

    def __init__(self) -> None:
        self.folder: str | None = None
        self.events: list[str] = []
        installed = (sys.prefix, sys.base_prefix, HERE.parents[1] / "src")
        self.known = [os.path.realpath(place) for place in installed]
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in self.ALWAYS:
            self.events.append(f"{event} {args!r:.200}")
        elif event == "exec":
            name = getattr(args[0], "co_filename", "")
            if not (name.startswith("<frozen") or name in self.OURS or self._known(name)):
                self.events.append(f"exec {name}")
        elif event == "compile":
            # Heads of .npy files are parsed as literals: compiled to a tree, and never run.
            if args[1] not in ("<unknown>", None, *self.OURS) and not self._known(str(args[1])):
                self.events.append(f"compile {args!r:.200}")
        elif event == "open":
            self._opened(*args)
        elif event in self.CHANGES and not self._inside(args[0]):
            self.events.append(f"{event} {args[0]}")

    def _opened(self, path: Any, mode: str | None, flags: int) -> None:
        if not isinstance(path, str | bytes) or self._inside(path):
            return
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND))
        name = os.fsdecode(path)
        if writes or not (self._known(name) or name.startswith(("/proc", "/sys", "/dev"))):
            self.events.append(f"open {name} {mode}")

    def _inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes):
            return True
        whole = os.path.realpath(os.fsdecode(path))
        return whole.startswith(f"{self.folder}{os.sep}") or whole == self.folder

    def _known(self, path: str) -> bool:
        return os.path.realpath(path).startswith(tuple(self.known))


def serve() -> None:
    """Answer questions of the parent until it ends."""
    import faulthandler
    import resource
    import warnings

    faulthandler.disable()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from specimens import SPECIMENS

    from neuroduet.errors import UserError

    watch = Watch()
    for line in sys.stdin:
        asked = json.loads(line)
        specimen, folder = SPECIMENS[asked["name"]], Path(asked["folder"])
        said, kind = "", "read"
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        if asked["do"] == "make":
            warnings.simplefilter("default")
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            if not folder.is_dir():
                folder.mkdir(parents=True)
                specimen.write(folder)
        else:
            limit = _address_space() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            watch.folder = os.path.realpath(folder)
        try:
            specimen.load(folder)
        except (UserError, FileNotFoundError, PermissionError) as error:
            kind, said = "refused", str(error)
        except BaseException as error:
            kind, said = "escaped", f"{type(error).__name__}: {error}"[:400] + _place(error)
        watch.folder = None
        events, watch.events = watch.events, []
        answers.write(json.dumps({"kind": kind, "said": said, "events": events}) + "\n")
        answers.flush()


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _place(error: BaseException) -> str:
    """Where it was raised, and the last place of ours on the way."""
    steps, trace = [], error.__traceback__
    while trace is not None:
        steps.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = [step for step in steps if "neuroduet" in step[0]]
    return " | " + " < ".join(f"{Path(p).name}:{n}" for p, n in [*own[-3:][::-1], steps[-1]])


if __name__ == "__main__":
    serve()
