"""Files of a run folder: written whole or not at all, and never executable."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from neuroduet import __version__
from neuroduet.atomic import alone_in, making_folders, remove_leftovers, replacing
from neuroduet.errors import UserError

WRITTEN = ("config.yaml", "env.json", "metrics.csv", "checkpoints/*", "model/*")
"""What a training writes into its run folder; scores and predictions are of other commands."""


@contextmanager
def own_run(out: Path) -> Iterator[None]:
    """Be the only training in a run folder; what a killed one was writing is removed.

    Args:
        out: Run folder; it is made if needed, and gone again if nothing came into it.

    Raises:
        UserError: Another process is training in it.
    """
    with making_folders(out), alone_in(out):
        for name in WRITTEN:
            remove_leftovers(out / name)
        yield


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: a reader sees the old content or the new, never a part.

    Args:
        path: Where to; its folder is made if needed.
        content: What.

    Raises:
        UserError: There is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any] | None = None
) -> None:
    """Write tensors as safetensors, with JSON-able notes in the header, atomically."""
    contiguous = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    write_bytes(path, save(contiguous, metadata={"notes": json.dumps(notes or {})}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_tensors` wrote.

    Args:
        path: A safetensors file.

    Returns:
        Tensors by name, and the notes.

    Raises:
        UserError: The file is missing or is not a whole safetensors file.
    """
    if not path.is_file():
        raise UserError(f"no weights at {path}; is this a finished run folder?")
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {}).get("notes", "{}"))
        # Asked for one tensor after the other, safetensors 0.8 loses some memory with each.
        return load(path.read_bytes()), notes
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is not a readable safetensors file ({error}); restore it or train again"
        ) from None


def environment(seed: int) -> dict[str, Any]:
    """Versions and machine facts that a result depends on."""
    packages = ("torch", "torch_brain", "lightning", "numpy", "scipy", "scikit-learn")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {"neuroduet": __version__} | {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "seed": seed,
    }


def read_environment(folder: Path) -> dict[str, Any]:
    """Read ``env.json`` of a run folder; empty where it is missing.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / "env.json"
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); restore or remove it") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no names and values; restore or remove it")
    return values
