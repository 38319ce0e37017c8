from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.config import override
from neuroduet.errors import UserError
from neuroduet.presets import PRESETS
from neuroduet.training.search import check_plan
from neuroduet.training.spaces import (
    FINETUNED,
    SPACES,
    Choice,
    LogUniform,
    Space,
    Uniform,
    default_space,
    describe_space,
    draw_settings,
    read_space,
)
from neuroduet.training.trials import Search

SPACE: Space = {
    "training.learning_rate": LogUniform(low=1e-4, high=1e-2),
    "masking.ratio": Uniform(low=0.1, high=0.4),
    "model.width": Choice(values=(128, 256, 512)),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "space.yaml"
    path.write_text(text)
    return path


@given(seed=st.integers(0, 2**32), number=st.integers(1, 10**6))
def test_draws_lie_within_bounds_and_depend_on_seed_and_number_alone(
    seed: int, number: int
) -> None:
    drawn = draw_settings(SPACE, seed, number)
    assert list(drawn) == list(SPACE)
    assert 1e-4 <= drawn["training.learning_rate"] <= 1e-2
    assert 0.1 <= drawn["masking.ratio"] <= 0.4
    assert drawn["model.width"] in (128, 256, 512)
    assert draw_settings(SPACE, seed, number) == drawn
    backwards = dict(reversed(SPACE.items()))
    assert draw_settings(backwards, seed, number) == drawn


def test_draws_are_spread_as_their_names_say() -> None:
    drawn = [draw_settings(SPACE, 0, number) for number in range(1, 3001)]
    logs = np.log10([one["training.learning_rate"] for one in drawn])
    # A uniform variable's fraction below a quarter of its range is 0.25 +- 0.008 (one sd).
    assert np.mean(logs < -3.5) == pytest.approx(0.25, abs=0.03)
    ratios = np.array([one["masking.ratio"] for one in drawn])
    assert np.mean(ratios < 0.175) == pytest.approx(0.25, abs=0.03)
    widths = [one["model.width"] for one in drawn]
    assert all(widths.count(size) / 3000 == pytest.approx(1 / 3, abs=0.03) for size in set(widths))
    # Settings are independent of each other.
    assert abs(np.corrcoef(logs, ratios)[0, 1]) < 0.06


def test_other_seeds_and_numbers_give_other_settings() -> None:
    drawn = {
        tuple(draw_settings(SPACE, seed, n).values()) for seed in range(4) for n in range(1, 26)
    }
    assert len(drawn) == 100


def test_every_preset_has_a_space_whose_every_draw_is_a_configuration() -> None:
    assert SPACES.keys() == PRESETS.keys()
    for name, space in SPACES.items():
        plan = Search(config=PRESETS[name](), space=space, data=Path(), out=Path(), trials=40)
        check_plan(plan)


def test_the_space_of_neds_is_the_published_one() -> None:
    assert describe_space(SPACES["neds"]) == {
        "training.learning_rate": {"log_uniform": [1e-4, 1e-3]},
        "training.weight_decay": {"log_uniform": [1e-3, 1e-1]},
        "masking.ratio": {"uniform": [0.1, 0.4]},
        "model.width": {"choice": [128, 256, 512]},
        "model.feed_forward": {"choice": [256, 512, 1024]},
        "model.layers": {"choice": [5, 6]},
    }
    assert tuple(default_space("neds", finetuning=True)) == FINETUNED


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_finetuning_leaves_the_architecture_alone(name: str) -> None:
    space = default_space(name, finetuning=True)
    assert "training.learning_rate" in space
    assert not any(key.startswith("model.") for key in space)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_defaults_of_our_presets_lie_within_their_spaces(name: str) -> None:
    if name.endswith("_faithful"):  # published defaults do not all lie in the published space
        return
    for key, one in SPACES[name].items():
        values: Any = PRESETS[name]().model_dump()
        for part in key.split("."):
            values = values[part]
        inside = values in one.values if isinstance(one, Choice) else one.low <= values <= one.high
        assert inside, f"{key} of {name} is {values}, outside of {one}"


def test_a_space_is_read_as_it_was_written(tmp_path: Path) -> None:
    for space in (SPACE, *SPACES.values()):
        text = yaml.safe_dump(describe_space(space), sort_keys=False)
        assert read_space(written(tmp_path, text)) == space


def test_numbers_without_a_dot_are_numbers_too(tmp_path: Path) -> None:
    path = written(tmp_path, "training.learning_rate: {log_uniform: [1e-4, 1e-3]}\n")
    assert read_space(path) == {"training.learning_rate": LogUniform(low=1e-4, high=1e-3)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no settings"),
        ("[1, 2]", "holds no settings"),
        ("a: {uniform: [", "is not valid YAML"),
        ("model.width: 128", "'model.width' is 128, expected one of log_uniform"),
        ("a.b: {uniform: [0, 1], choice: [1]}", "expected one of log_uniform"),
        ("a.b: {loguniform: [1, 2]}", "did you mean 'log_uniform'"),
        ("a.b: {uniform: 3}", "expected a list in brackets"),
        ("a.b: {choice: []}", "expected a list in brackets"),
        ("a.b: {uniform: [1, 2, 3]}", "expected two numbers"),
        ("a.b: {uniform: [low, 2]}", "expected two numbers"),
        ("a.b: {uniform: [true, 2]}", "expected two numbers"),
        ("a.b: {uniform: [0, .inf]}", "expected two numbers"),
        ("a.b: {uniform: [2, 1]}", "smaller number first"),
        ("a.b: {log_uniform: [0, 1]}", "expected more than 0"),
    ],
)
def test_a_wrong_space_is_explained(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_space(written(tmp_path, text))


def test_a_missing_file_and_an_unknown_preset_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no space at"):
        read_space(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="did you mean 'neds'"):
        default_space("nedss", finetuning=False)


@pytest.mark.parametrize(
    ("preset", "key", "said"),
    [
        ("duet", "masking.schemes", "changes what validation asks"),
        ("mtm", "model.behaviours", "changes what validation asks"),
        ("neds", "data.split.seed", "changes what validation asks"),
        ("neds", "model.wdith", "did you mean 'model.width'"),
        ("neds", "training", "training"),
        ("neds", "training.members", "leave training.members at 1"),
        ("neds", "model.heads", "multiple of twice model.heads"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(preset: str, key: str, said: str) -> None:
    values = {"masking.schemes": {"neuron": 1}, "model.behaviours": True}.get(key, 3)
    config = override(PRESETS[preset](), ["model.prompts=false"])
    plan = Search(config=config, space={key: Choice(values=(values,))}, data=Path(), out=Path())
    with pytest.raises(UserError, match=said):
        check_plan(plan)
