"""The files of a saved segmenter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from neuroduet import __version__
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.features import FeatureOptions, Standardiser
from neuroduet.actions.learned import Learned
from neuroduet.actions.model import ModelOptions
from neuroduet.atomic import replacing
from neuroduet.errors import UserError
from neuroduet.migration import Migration, upgraded

SCHEMA = 1
"""Version of the files that :func:`write_saved` writes."""

MIGRATIONS: dict[int, Migration] = {}
"""By older version, the step to the next one; version 1 is the first."""

FILES = ("README.md", "segmenter.json", "segmenter.safetensors")
"""What is downloaded from a repository; anything else in it is left there."""


def describe(learned: Learned) -> dict[str, Any]:
    """What ``segmenter.json`` says of a fitted segmenter: all but its arrays."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "model": learned.name,
        "options": learned.options.model_dump(mode="json"),
        "features": learned.features.model_dump(mode="json"),
        "classes": list(learned.classes),
        "pool": learned.pool,
        "smooth": learned.smooth,
        "shape": list(learned.shape),
        "recordings": list(learned.recordings),
        "seed": learned.seed,
    }


def write_saved(folder: Path, learned: Learned) -> None:
    """Write the files of a segmenter.

    Args:
        folder: An existing folder.
        learned: What to write.
    """
    own = learned.model.arrays().items()
    arrays = {f"model.{name}": np.asarray(array, order="C") for name, array in own}
    arrays["standardiser.mean"] = learned.standardiser.mean
    arrays["standardiser.scale"] = learned.standardiser.scale
    with replacing(folder / "segmenter.safetensors") as path:
        path.write_bytes(save(arrays))
    with replacing(folder / "segmenter.json") as path:
        path.write_text(json.dumps(describe(learned), indent=2) + "\n")


def restored(
    said: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    options: ModelOptions,
    features: FeatureOptions,
) -> Learned:
    """The fitted segmenter that was written.

    Args:
        said: What ``segmenter.json`` says.
        arrays: Its arrays.
        options: Of the model, checked.
        features: Which features it sees.

    Raises:
        UserError: The options ask for more than the arrays hold.
    """
    own = {
        name.removeprefix("model."): array
        for name, array in arrays.items()
        if not name.startswith("standardiser.")
    }
    _require_no_more(options, own)
    restore = FAMILIES[said["model"]].restore
    with torch.device("meta"), warnings.catch_warnings():
        # Shapes alone: what does not fit must not fill the memory. Copying numbers into
        # shapes does nothing, which is said as a warning.
        warnings.simplefilter("ignore")
        restore(own, options)
    return Learned(
        name=said["model"],
        options=options,
        model=restore(own, options),
        features=features,
        standardiser=Standardiser(
            mean=arrays["standardiser.mean"], scale=arrays["standardiser.scale"]
        ),
        classes=tuple(said["classes"]),
        pool=said["pool"],
        smooth=said["smooth"],
        shape=tuple(said["shape"]),
        recordings=tuple(said.get("recordings", ())),
        seed=said["seed"],
    )


def _require_no_more(options: ModelOptions, arrays: Mapping[str, np.ndarray]) -> None:
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
