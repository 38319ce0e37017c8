"""Spoilt settings and mapping files, and what only YAML can do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cage import Cage
from fuzzing import require_calm

from neuroduet.config import Config, load_config
from neuroduet.errors import UserError
from neuroduet.plain import read_yaml


@pytest.mark.parametrize("name", ["config", "mapping"])
def test_spoilt_settings_are_read_or_refused_in_one_sentence(cage: Cage, name: str) -> None:
    require_calm(cage, name)


HOSTILE = {
    "a call": "!!python/object/apply:os.system ['touch hacked']",
    "a name": "preset: !!python/name:os.system",
    "a module": "preset: !!python/module:os",
    "an object": "!!python/object:pathlib.Path {}",
    "a new object": "!!python/object/new:os.system ['touch hacked']",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_tags_of_python_are_refused_and_never_run(
    cage: Cage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(HOSTILE[name])
    with pytest.raises(UserError, match="could not determine a constructor"):
        load_config(tmp_path / "config.yaml")
    assert cage.read("config", tmp_path).kind == "refused"
    assert not cage.read("config", tmp_path).events
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


REFUSED = {
    "aliases that grow": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "alias *a"),
    "an alias of itself": ("a: &a [*a]", "alias *a"),
    "a key twice": ("preset: a\npreset: b", "key 'preset' twice"),
    "too many levels": ("[" * 51 + "]" * 51, "more than 50 levels"),
    "endless levels": ("[" * 100_000, "more than 50 levels"),
    "an impossible date": ("preset: 2020-99-99", "month must be in"),
    "an endless number": ("preset: " + "9" * 5000, "Exceeds the limit"),
    "no text": ("\0", "special characters are not allowed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_yaml_that_is_larger_than_it_looks_is_refused(name: str) -> None:
    text, said = REFUSED[name]
    with pytest.raises(ValueError, match=re.escape(said)):
        read_yaml(text)


def test_plain_yaml_reads_as_before() -> None:
    assert read_yaml(Config().to_yaml()) == Config().model_dump(mode="json")
    assert read_yaml("- {a: [1, 2.5]}\n- yes\n- 2020-01-02")[:2] == [{"a": [1, 2.5]}, True]
