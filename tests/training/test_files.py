from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuroduet.errors import UserError
from neuroduet.training.files import environment, read_tensors, write_bytes, write_tensors


def test_tensors_and_notes_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "a/b.c": torch.randn(3, 4).T,  # not contiguous
        "counts": torch.arange(5),
        "scalar": torch.tensor(2.0),
        "half": torch.randn(2).bfloat16(),
    }
    shared = torch.zeros(6)
    tensors |= {"one": shared, "other": shared}  # safetensors refuses shared memory
    write_tensors(tmp_path / "deep" / "x.safetensors", tensors, {"step": 3, "best": {"m": 0.1}})
    found, notes = read_tensors(tmp_path / "deep" / "x.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], x) and found[k].dtype == x.dtype for k, x in tensors.items())
    assert notes == {"step": 3, "best": {"m": 0.1}}


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "x"
    write_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x", b"a long old content")
    write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


@pytest.mark.parametrize("kept", [0, 4, 8, 60, -1])
def test_a_truncated_file_is_the_users_error(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.randn(40)})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_tensors(path)


@pytest.mark.parametrize("content", [b"garbage" * 100, b"\xff" * 64, b"{}"])
def test_garbage_is_the_users_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "x")


def test_notes_that_are_not_json_are_the_users_error(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x", metadata={"notes": "{no json"})
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "x")


def test_a_missing_file_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights at .*finished run"):
        read_tensors(tmp_path / "x.safetensors")


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_pickle_is_refused_without_being_run(tmp_path: Path) -> None:
    torch.save({"a": Trap(tmp_path / "executed")}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        read_tensors(tmp_path / "x.safetensors")
    assert not (tmp_path / "executed").exists()


def test_the_environment_can_be_written_as_json() -> None:
    found = json.loads(json.dumps(environment(7)))
    assert found["seed"] == 7
    assert found["packages"]["torch"].startswith(torch.__version__.split("+")[0])
    assert {"python", "platform", "packages", "threads", "cuda", "seed"} == set(found)
