"""Full disks and folders that cannot be written: one sentence, and nothing is lost."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import multiprocessing
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from tiny_runs import SMALL, Killed, checkpoint, killer, metrics, model_weights, same, tiny

from neuroduet.atomic import FULL, replacing
from neuroduet.cli import main
from neuroduet.errors import UserError
from neuroduet.training.files import write_bytes
from neuroduet.training.fit import train

SIX_STEPS = ["training.max_epochs=10", "training.max_steps=6", "training.validate_every=2"]

unix = pytest.mark.skipif(sys.platform == "win32", reason="needs limits on what a process writes")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken run."""
    return train(tiny(*SIX_STEPS), data, tmp_path_factory.mktemp("runs") / "run")


def stopped(data: Path, out: Path, validations: int) -> Path:
    """A run that was stopped after some validations."""
    with pytest.raises(Killed):
        train(tiny(*SIX_STEPS), data, out, report=killer(validations))
    return out


def obey_permissions() -> None:
    """Take from the superuser the right to write everywhere."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice 32 rights
    assert libc.capget(header, sets) == 0
    sets[0] &= ~0b110  # the first are those that are in effect; 1 and 2 pass over permissions
    assert libc.capset(header, sets) == 0


def limited(words: list[str], limit: int | None, end: Connection) -> None:
    """The command line in a process that may write no file above a size."""
    import resource

    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    obey_permissions()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    end.send((code, said.getvalue().strip().splitlines()))


def command(*words: str | Path, limit: int | None = None) -> tuple[int, str]:
    """Exit code and the last line of a command that may write no file above a size."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning.pytorch", "neuroduet.training.fit"])
    read, write = context.Pipe(duplex=False)
    process = context.Process(target=limited, args=([str(word) for word in words], limit, write))
    process.start()
    write.close()
    code, lines = read.recv()
    process.join()
    return code, " ".join(lines[-1:])


def resume(data: Path, out: Path, limit: int | None = None) -> tuple[int, str]:
    settings = [*SMALL, *SIX_STEPS]
    return command(
        "train", "--data", data, "--out", out, "--resume", "--set", *settings, limit=limit
    )


def require_equal(whole: Path, other: Path) -> None:
    assert same(checkpoint(whole)[0], checkpoint(other)[0])
    assert same(model_weights(whole), model_weights(other))
    assert metrics(whole) == metrics(other)
    assert not list(other.rglob("*.part"))


@unix
def test_a_disk_that_fills_during_training_costs_nothing(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = stopped(data, tmp_path / "run", 1)
    last = out / "checkpoints" / "last.safetensors"
    before = last.read_bytes()
    code, said = resume(data, out, limit=len(before) - 200)
    assert code == 2
    assert said == (
        f"error: {last} could not be written (file too large) and is as it was before; make room "
        "and run the same command again, --resume for a training"
    )
    assert last.read_bytes() == before
    assert not list(out.rglob("*.part"))
    train(tiny(*SIX_STEPS), data, out, resume=True)
    require_equal(whole, out)


@unix
def test_a_disk_that_fills_while_the_model_is_written_costs_nothing(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = stopped(data, tmp_path / "run", 3)
    size = (whole / "model" / "model.safetensors").stat().st_size
    code, said = resume(data, out, limit=size - 1)
    assert code == 2
    assert said.startswith(f"error: {out / 'model' / 'model.safetensors'} could not be written")
    assert list((out / "model").iterdir()) == []
    code, said = command("evaluate", out, "--data", data)
    assert (code, said) == (
        2,
        f"error: {out} is not a finished run: it has no model/config.json; train first, or "
        "go on with its training (--resume)",
    )
    train(tiny(*SIX_STEPS), data, out, resume=True)
    require_equal(whole, out)


@unix
@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("evaluate", "--tasks", "encoding"), ["scores.csv"]),
        (("predict",), ["predictions"]),
    ],
)
def test_a_disk_that_fills_while_results_are_written_keeps_the_earlier_ones(
    data: Path, whole: Path, tmp_path: Path, words: tuple[str, ...], files: list[str]
) -> None:
    out = tmp_path / files[0]
    name, *options = words
    arguments = (name, whole, "--data", data, "--out", out, *options)
    assert command(*arguments)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, said = command(*arguments, limit=1000)
    assert code == 2
    assert said.startswith(f"error: {tmp_path}")
    assert "could not be written (file too large)" in said
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@unix
def test_a_folder_that_may_not_be_written_is_named(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o555)
    code, said = resume(data, tmp_path / "run")
    assert code == 2
    assert said == (
        f"error: {tmp_path / 'run'}: permission denied; check the path and its permissions"
    )
    code, said = command(
        "evaluate", whole, "--data", data, "--tasks", "encoding", "--out", tmp_path / "s.csv"
    )
    assert code == 2
    assert "permission denied; check the path and its permissions" in said
    assert ".part" not in said
    tmp_path.chmod(0o755)
    assert list(tmp_path.iterdir()) == []


@unix
def test_a_run_folder_that_becomes_read_only_can_be_gone_on_with(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    out = stopped(data, tmp_path / "run", 1)
    folder = out / "checkpoints"
    folder.chmod(0o555)
    code, said = resume(data, out)
    folder.chmod(0o755)
    assert code == 2
    assert said.startswith(f"error: {folder / 'best-'}")
    assert said.endswith(".safetensors: permission denied; check the path and its permissions")
    train(tiny(*SIX_STEPS), data, out, resume=True)
    require_equal(whole, out)


@pytest.mark.parametrize("number", FULL)
def test_no_room_is_the_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    write_bytes(tmp_path / "x", b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"x could not be written \(.*\).*make room"):
        write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_another_failure_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="other") as caught, replacing(tmp_path / "x"):
        raise OSError(errno.EIO, "other")
    assert caught.value.errno == errno.EIO
    assert list(tmp_path.iterdir()) == []
