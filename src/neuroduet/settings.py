"""Settings: how values of a configuration are written, laid over each other, and refused."""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from neuroduet.errors import UserError, unsuitable
from neuroduet.plain import printable, read_yaml

Settings = str | Sequence[str] | Mapping[str, Any]
"""Changes to a configuration: ``section.key=value``, several of them, or values by dotted key."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def changes(settings: Settings) -> Iterator[dict[str, Any]]:
    """Settings as nested mappings, in their order.

    Args:
        settings: One setting, several, or a mapping. Values in text are written as in YAML; those
            of a mapping are plain values or numpy's.

    Yields:
        One mapping per setting, of one key on every level.

    Raises:
        UserError: They are neither of these, or one has no ``=`` or no readable value.

    Example:
        >>> list(changes("training.betas=[0.8, 0.9]"))
        [{'training': {'betas': [0.8, 0.9]}}]
        >>> list(changes({"training.seed": 1}))
        [{'training': {'seed': 1}}]
    """
    if isinstance(settings, Mapping):
        yield from (_nested(key, _plain_value(key, value)) for key, value in settings.items())
        return
    given: object = [settings] if isinstance(settings, str) else settings
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise unsuitable(
            "settings",
            given,
            "'section.key=value', a list of those, or a mapping",
            "write for example {'training.seed': 1}",
        )
    for setting in given:
        key, found, text = setting.partition("=")
        if not found:
            raise UserError(f"setting '{setting}' has no '='; write section.key=value")
        yield _nested(key, read_setting(text, f"setting '{setting}'"))


def read_setting(text: str | bytes, origin: str) -> Any:
    """Values from YAML.

    Args:
        text: YAML.
        origin: Where it comes from, for the message.

    Raises:
        UserError: It is not valid.
    """
    try:
        return read_yaml(text)
    except ValueError as error:
        raise UserError(f"{origin} is not valid YAML: {error}") from None


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A new mapping with ``change`` laid over ``base``.

    A mapping of ``masking.schemes`` replaces them all; ``masking.schemes.encoding`` changes one.
    """
    found = dict(base)
    for key, value in change.items():
        old = found.get(key)
        within = isinstance(value, _Dotted) or (isinstance(value, dict) and key != "schemes")
        found[key] = merged(old, value) if within and isinstance(old, dict) else value
    return found


class _Dotted(dict[str, Any]):
    """What a key with dots names, as opposed to a mapping that was given as a value."""


def refusal(error: ValidationError, root: type[BaseModel]) -> UserError:
    """What a configuration would not take, in one sentence.

    Args:
        error: What pydantic said.
        root: The section that was made.
    """
    return UserError(printable("; ".join(_explain(one, root) for one in error.errors())))


def choices(section: type[BaseModel]) -> dict[str, tuple[str, ...]]:
    """Dotted names of all settings, each with its values if they are a choice of few."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= {f"{name}.{key}": values for key, values in choices(kind).items()}
        else:
            few = get_args(kind) if get_origin(kind) is Literal else ()
            found[name] = ("true", "false") if kind is bool else few
    return found


def _nested(key: object, value: Any) -> dict[str, Any]:
    if not isinstance(key, str):
        raise unsuitable(
            "a setting", key, "section.key as text", "write for example 'model.width'"
        )
    for part in reversed(key.strip().split(".")):
        value = _Dotted({part: value})
    return dict(value)


def _plain_value(key: object, value: Any) -> Any:
    """A value without numpy in it, as the values of a grid of scikit-learn often are."""
    try:
        return json.loads(json.dumps(value, default=lambda one: one.tolist()))
    except (AttributeError, TypeError, ValueError):
        raise UserError(
            f"setting '{key}' is a {type(value).__name__}, expected a number, text, list or dict; "
            "give it as a configuration has it"
        ) from None


def _explain(error: Any, root: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown configuration key '{where}'; {_hint(error['loc'], root)}"
    message = error["msg"].removeprefix("Value error, ")
    if not where:
        return message
    # A section that does not fit together has named the values that do not.
    together = error["type"] == "value_error" and isinstance(error["input"], dict)
    found = "" if together else f", found {_SHORT.repr(error['input'])}"
    if error["input"] is None and ":" in str(error["loc"][-1]):  # {encoding:1} is one key of YAML
        return f"'{error['loc'][-1]}' is a name without a value; write a space after the colon"
    return f"configuration key '{where}': {message}{found}"


def _hint(location: tuple[Any, ...], root: type[BaseModel]) -> str:
    """The key of that name in other sections, else the nearest one of the section."""
    *parents, name = (str(part) for part in location)
    near = [key for key in choices(root) if key.endswith(f".{name}")]
    section = _section_of(location[:-1], root)
    known = list(section.model_fields) if section else []
    for close in difflib.get_close_matches(name, known, n=1, cutoff=0.4):
        near = near or [".".join([*parents, close])]
    if not near:
        return f"known keys: {', '.join(known)}"
    return f"did you mean {' or '.join(repr(key) for key in near)}?"


def _section_of(location: tuple[Any, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = root
    listed: list[type[BaseModel]] = []
    for part in location:
        if isinstance(part, int):
            section = listed[0] if listed else None
            continue
        field = section.model_fields.get(str(part)) if section else None
        listed = list(_sections_in(field.annotation)) if field else []
        annotation = field.annotation if field else None
        section = annotation if annotation in listed else None
    return section


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Sections in a type, such as that of a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)
