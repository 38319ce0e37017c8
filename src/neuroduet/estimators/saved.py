"""The files of a saved estimator, beside those of its model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from neuroduet import __version__
from neuroduet.errors import UserError
from neuroduet.estimators import readouts
from neuroduet.estimators.fitting import Fitted, in_memory
from neuroduet.training.description import ESTIMATOR_FILES, ESTIMATOR_SCHEMA, read_estimator
from neuroduet.training.files import read_tensors, write_tensors
from neuroduet.training.hub import opener_of, training_tables

DESCRIPTION, NUMBERS = ESTIMATOR_FILES


def files_of(kind: str, params: Mapping[str, Any], fitted: Fitted) -> dict[str, bytes]:
    """What is written beside the model, by its place in the folder.

    Args:
        kind: Name of the estimator's class.
        params: What it was made with.
        fitted: What fitting found.
    """
    said = {
        "schema": ESTIMATOR_SCHEMA,
        "version": __version__,
        "estimator": kind,
        "params": dict(params),
        "single": fitted.single,
        "flat": sorted(fitted.flat),
        "split": fitted.split.tolist(),
        "readouts": readouts.described(fitted.readouts),
    }
    # A grid's settings are often numpy's numbers.
    text = json.dumps(said, indent=1, default=lambda one: one.tolist())
    files = {**fitted.tables, DESCRIPTION: text.encode()}
    if fitted.readouts:
        with TemporaryDirectory() as folder:
            write_tensors(Path(folder) / NUMBERS, readouts.tensors(fitted.readouts))
            files[NUMBERS] = (Path(folder) / NUMBERS).read_bytes()
    return files


def read_saved(folder: Path, kind: str) -> tuple[dict[str, Any], Fitted]:
    """What an estimator was made with, and what fitting found.

    Args:
        folder: Folder of a saved estimator.
        kind: Name of the class that it must be of.

    Raises:
        UserError: It holds another estimator or none, or a file is missing or damaged.
    """
    said = read_estimator(folder)
    if said is None or said["estimator"] != kind:
        opener = opener_of(folder)
        held = "no estimator" if opener is None else f"what {opener} saved"
        remedy = "" if opener is None else f"{opener}."
        raise UserError(
            f"{folder} holds {held}, expected what {kind} saved; open it with "
            f"neuroduet.{remedy}from_pretrained"
        )
    # Only where there are read-outs there are numbers.
    numbers = read_tensors(folder / NUMBERS)[0] if said["readouts"] else {}
    fitted = Fitted(
        model=in_memory(folder),
        readouts=readouts.restored(said["readouts"], numbers),
        single=said["single"],
        flat=frozenset(said["flat"]),
        split=np.array(said["split"], dtype=np.str_),
        tables=training_tables(folder),
    )
    return said["params"], fitted
