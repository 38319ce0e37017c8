"""The page of the settings says what the configuration says.

``python tests/test_settings_page.py`` writes its tables anew.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from neuroduet.config import Config, allowed_values
from neuroduet.masking import SCHEMES
from neuroduet.models import MODELS
from neuroduet.presets import PRESETS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
BEGIN = "<!-- begin: written by python tests/test_settings_page.py -->\n"
END = "<!-- end -->"

NAMES = {"preset": PRESETS, "masking.schemes": SCHEMES, "model.name": MODELS}
"""Settings whose texts, or keys, are names."""

KINDS = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
RULES = {"_odd_or_zero": "odd or 0"}
"""Validators that allow less than the type does."""


def sections(section: type[BaseModel] = Config, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every section with its dotted name, then what its lists hold."""
    yield place, section
    for name, kind in get_type_hints(section).items():
        if name not in section.model_fields:
            continue
        for inner in _sections_in(kind):
            yield from sections(inner, f"{place}.{name}".lstrip("."))


def _sections_in(kind: Any) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [one for part in get_args(kind) for one in _sections_in(part)]


def meanings(section: type[BaseModel]) -> dict[str, str]:
    """What a docstring says of each attribute, in Markdown."""
    _, _, listed = (inspect.getdoc(section) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", listed, re.MULTILINE)
    return {name: _markdown(text) for name, text in found}


def _markdown(text: str) -> str:
    # Names of classes mean nothing to a reader of the page.
    text = re.sub(r" \(:class:`\w+`\)", "", " ".join(text.split()))
    text = re.sub(r":\w+:`~?(?:\w+\.)*(\w+)`", r"`\1`", text)
    return text.replace("``", "`").replace("`None`", "`null`").replace("|", "\\|")


def shown(value: Any) -> str:
    """A value as YAML and ``--set`` take it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {shown(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    return value if isinstance(value, str) else json.dumps(value)


def allowed(kind: Any, rules: Sequence[Any] = ()) -> str:
    """Which values a type allows, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in parts)
    if origin in (Union, types.UnionType):
        known = [allowed(one, rules) for one in parts if one is not type(None)]
        return ", ".join([*known, "`null`"][: len(parts)])
    if origin is tuple:
        return _list(parts)
    if origin is dict:
        return f"mapping of names to {allowed(parts[1])}s"
    return ", ".join([KINDS[kind], *filter(None, map(_rule, rules))])


def _list(parts: tuple[Any, ...]) -> str:
    if parts[1:] != (...,):
        return f"list of {len(parts)} {KINDS[parts[0]]}s"
    return "list of names, or of mappings with the keys below"


def _rule(rule: Any) -> str:
    bounds = [
        words.format(f"{bound:g}")
        for name, words in BOUNDS.items()
        if (bound := getattr(rule, name, None)) is not None
    ]
    return ", ".join(bounds) or RULES.get(getattr(getattr(rule, "func", None), "__name__", ""), "")


def rows(place: str, section: type[BaseModel]) -> list[str]:
    """One row for every setting of a section that is no section itself."""
    said, found = meanings(section), []
    for name, kind in get_type_hints(section).items():
        field = section.model_fields.get(name)
        if field is None or name in {one.partition(".")[0] for one in _inner(place, section)}:
            continue
        key = f"{place}.{name}".lstrip(".")
        names = f": {', '.join(f'`{one}`' for one in NAMES[key])}" if key in NAMES else ""
        default = (
            ""
            if field.is_required()
            else f"`{shown(field.get_default(call_default_factory=True))}`"
        )
        found.append(
            f"| `{name}` | {default} | {allowed(kind, field.metadata)}{names} | {said[name]} |"
        )
    return found


def _inner(place: str, section: type[BaseModel]) -> list[str]:
    """Names of the sections that stand directly in a section."""
    return [
        name
        for name, field in section.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    ]


def reference() -> str:
    """All settings by section, and what presets change."""
    parts = []
    for place, section in sections():
        table = rows(place, section)
        if not table:
            continue
        about = _markdown((inspect.getdoc(section) or "").partition("\n")[0])
        title = f"`{place}`" if place else "At the top"
        head = "| key | default | allowed | meaning |\n| --- | --- | --- | --- |"
        parts.append("\n".join([f"### {title}\n\n{about}\n\n{head}", *table, ""]))
    return "\n".join([*parts, presets()])


def presets() -> str:
    """What each preset changes of the defaults."""
    usual = dict(_flat(Config().model_dump(mode="json")))
    lines = [
        "## What presets change",
        "",
        "| preset | its defaults where they differ |",
        "| --- | --- |",
    ]
    for name, preset in PRESETS.items():
        values = _flat(preset().model_dump(mode="json"))
        other = [
            f"`{key}={shown(value)}`"
            for key, value in values
            if key != "preset" and value != usual[key]
        ]
        lines.append(f"| `{name}` | {', '.join(other) or 'none: these are the defaults'} |")
    return "\n".join([*lines, ""])


def _flat(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{place}.{name}".lstrip(".")
        if isinstance(value, Mapping) and name != "schemes":
            yield from _flat(value, key)
        else:
            yield key, value


def written() -> str:
    """What the page lists."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return rest.partition(END)[0]


def test_the_page_lists_every_setting_with_its_default_and_what_is_allowed() -> None:
    assert written() == f"\n{reference()}\n", "run: python tests/test_settings_page.py"


def test_no_setting_is_left_out() -> None:
    told = set()
    place = ""
    for line in written().partition("## What presets change")[0].splitlines():
        if title := re.match(r"### (?:`(.*)`|.*)", line):
            place = title[1] or ""
        elif row := re.match(r"\| `(\w+)` \|", line):
            told.add(f"{place}.{row[1]}".lstrip("."))
    assert set(allowed_values()) <= told


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("preset", "| `preset` | `duet` | text: `duet`, `mtm`, "),
        (
            "length",
            "| `length_s` | `2.0` | number, above 0 | Length of a continuous window (s). |",
        ),
        ("folds", "| `folds` | `null` | whole number, from 2, `null` | "),
        ("betas", "| `betas` | `[0.9, 0.98]` | list of 2 numbers | AdamW momenta. |"),
        ("kernel", "| `input_kernel` | `9` | whole number, from 0, odd or 0 | "),
        (
            "behaviours",
            "| `behaviours` | `null` | list of names, or of mappings with the keys below, ",
        ),
        ("clip", "| `clip` | `1.0` | number, above 0, `null` | Largest gradient norm; `null` "),
        ("data_init", "| `data_init` | `true` | `true`, `false` | "),
        ("train", "| `train` | `0.7` | number, above 0, below 1 | "),
        ("mtm", "`model.behaviours=false`"),
    ],
)
def test_a_row_says_what_is_known_of_a_setting(key: str, row: str) -> None:
    assert row in written()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{reference()}\n{END}{after}", encoding="utf-8")
