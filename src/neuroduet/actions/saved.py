"""The files of a saved segmenter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from neuroduet.actions.model import ModelOptions
from neuroduet.errors import UserError
from neuroduet.migration import Migration, upgraded

SCHEMA = 1
"""Version of the files that :meth:`Segmenter.save_pretrained` writes."""

MIGRATIONS: dict[int, Migration] = {}
"""By older version, the step to the next one; version 1 is the first."""

FILES = ("README.md", "segmenter.json", "segmenter.safetensors")
"""What is downloaded from a repository; anything else in it is left there."""


def require_no_more(options: ModelOptions, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse options that ask for more networks, layers or units than there are numbers."""
    held = sum(array.size for array in arrays.values())
    counts = {"members": len(arrays), "layers": len(arrays), "stages": len(arrays)}
    built = ("hidden", "decoder_hidden", "transition_hidden", "dynamics_hidden", "latents")
    for name, most in (counts | dict.fromkeys(built, held)).items():
        asked = getattr(options, name, None)
        if asked is not None and asked > most:
            raise UserError(
                f"option '{name}' is {asked:,}, more than the saved arrays allow ({most:,}); "
                "restore the folder or train again"
            )


def read_saved(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the files of a segmenter, its description brought up to this version's layout.

    Args:
        folder: Folder of the segmenter.

    Returns:
        What ``segmenter.json`` says, and the arrays.

    Raises:
        UserError: A file is missing or damaged, or of a newer version.
    """
    description, weights = folder / "segmenter.json", folder / "segmenter.safetensors"
    try:
        said = json.loads(description.read_text())
        arrays = load_file(weights)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"{folder} holds no readable segmenter ({error}); give a folder that "
            "`neuroduet actions train` or save_pretrained wrote"
        ) from None
    return upgraded(said, SCHEMA, MIGRATIONS, description), arrays
