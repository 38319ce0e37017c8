"""Mapping files: what a user says about the columns of a source, in YAML or JSON."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, unknown
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
    require_mapping(path)
    with reading(path):
        return _checked(path, model)


def require_mapping(path: Path) -> None:
    """Refuse a mapping file that is not there.

    Raises:
        UserError: It is missing.
    """
    if not path.is_file():
        raise UserError(f"there is no mapping file {path}; check the path of --mapping")


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
        *outer, last = [str(part) for part in first["loc"]] or ["the file"]
        place = ".".join((*outer, last))
        known = keys_at(model, outer)
        if first["type"] == "extra_forbidden" and known:
            under = f" under {'.'.join(outer)}" if outer else ""
            raise unknown(f"key{under} in {path}", last, known) from None
        if isinstance(first["input"], bool) and first["type"] != "int_type":
            raise UserError(
                f"{path} says {place} = {first['input']}, as YAML reads on, off, yes and no; "
                "write a name like these in quotes"
            ) from None
        raise UserError(
            f"{path} says {place} = {reprlib.repr(first['input'])}: "
            f"{first['msg'].removeprefix('Value error, ').lower()}; known keys are "
            f"{', '.join(known or model.model_fields)}"
        ) from None


def keys_at(model: type[BaseModel], place: Sequence[str]) -> tuple[str, ...]:
    """The keys that a section of a mapping file can have.

    Args:
        model: What the file may say.
        place: Keys that lead to the section, outermost first.

    Returns:
        Empty where no section stands.
    """
    annotation: Any = model
    for key in place:
        section = next(_sections(annotation), None)
        if section is None:
            return ()
        field = section.model_fields.get(key)
        # The section of a table by name, such as that of each behaviour, is under any key.
        annotation = annotation if field is None else field.annotation
    section = next(_sections(annotation), None)
    return () if section is None else tuple(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Models inside an annotation such as ``dict[str, Annotated[Model, ...]] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)
