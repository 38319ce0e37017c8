"""Mapping files: what a user says about the columns of a source, in YAML or JSON."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from neuroduet.data.boundary import reading
from neuroduet.errors import UserError
from neuroduet.plain import read_yaml

Model = TypeVar("Model", bound=BaseModel)


def read_mapping(path: Path, model: type[Model]) -> Model:
    """Read and check a mapping file.

    Args:
        path: YAML file; JSON is YAML.
        model: What it may say.

    Raises:
        UserError: It is missing, is no YAML, or says something else.
    """
    if not path.is_file():
        raise UserError(f"there is no mapping file {path}; check the path of --mapping")
    with reading(path):
        return _checked(path, model)


def _checked(path: Path, model: type[Model]) -> Model:
    try:
        given = read_yaml(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is no YAML ({error}); correct the mapping file") from None
    if not isinstance(given, dict):
        raise UserError(
            f"{path} holds {type(given).__name__}, expected keys such as "
            f"{', '.join(model.model_fields)}; write 'key: value' lines"
        )
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        known = ", ".join(model.model_fields)
        raise UserError(
            f"{path} says {place} = {reprlib.repr(first['input'])}: "
            f"{first['msg'].lower()}; known keys are {known}"
        ) from None
