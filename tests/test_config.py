from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from neuroduet.config import (
    BehaviourConfig,
    Config,
    DataConfig,
    TrainingConfig,
    from_mapping,
    load_config,
    override,
)
from neuroduet.errors import UserError
from neuroduet.masking import CAUSAL
from neuroduet.presets import PRESETS


def leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every setting."""
    for key in type(model).model_fields:
        value = getattr(model, key)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("name", PRESETS)
def test_presets_carry_their_name(name: str) -> None:
    assert PRESETS[name]().preset == name


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("ndt1_")])
def test_presets_cite_their_command(name: str) -> None:
    assert f"--preset {name}" in " ".join((PRESETS[name].__doc__ or "").split())


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("ndt1_")])
def test_the_rows_of_a_table_are_mtm_with_one_scheme_each(name: str) -> None:
    config, whole = PRESETS[name](), PRESETS["mtm"]()
    scheme = name.removeprefix("ndt1_")
    assert {k for k, weight in config.masking.schemes.items() if weight > 0} == {scheme}
    assert not config.model.behaviours
    # What remains to tell the model is that it may not look ahead.
    assert config.model.prompts == (scheme in CAUSAL)
    changes = {"masking": config.masking, "preset": config.preset, "model": config.model}
    assert config == whole.model_copy(update=changes)
    assert config.model == whole.model.model_copy(update={"prompts": config.model.prompts})


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_yaml(name: str, tmp_path: Path) -> None:
    config = PRESETS[name]()
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert load_config(path) == config


@pytest.mark.parametrize("key", [key for key, _ in leaves(Config())])
def test_every_default_can_be_written_as_a_setting(key: str) -> None:
    value = dict(leaves(Config()))[key]
    text = yaml.safe_dump(list(value) if isinstance(value, tuple) else value)
    assert override(Config(), [f"{key}={text}"]) == Config()


@pytest.mark.parametrize("place", ["preset", "training.seed", "data.windows.length_s"])
def test_a_configuration_that_is_not_changed_in_place_says_how(place: str) -> None:
    *sections, name = place.split(".")
    config = Config()
    section: Any = config
    for one in sections:
        section = getattr(section, one)
    before = getattr(section, name)
    with pytest.raises(UserError) as caught:
        setattr(section, name, 7)
    assert f"override(config, {{'{place}': 7}})" in str(caught.value)
    assert getattr(section, name) == before


@pytest.mark.parametrize(
    ("section", "given", "sentence"),
    [
        (Config, {"modl": 3}, "unknown configuration key 'modl'; did you mean 'model'?"),
        (
            Config,
            {"training": {"max_epoch": 1}},
            "unknown configuration key 'training.max_epoch'; did you mean 'training.max_epochs'?",
        ),
        (
            TrainingConfig,
            {"max_stepz": 1},
            "unknown configuration key 'max_stepz'; did you mean 'max_steps'?",
        ),
        (
            DataConfig,
            {"behaviours": [3]},
            "configuration key 'behaviours.0': expected the name of a behaviour, or a mapping "
            "with name and source, found 3",
        ),
    ],
)
def test_what_a_section_does_not_take_is_one_sentence(
    section: type[BaseModel], given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError) as caught:
        section(**given)
    assert str(caught.value) == sentence


def test_settings_are_one_text_several_or_a_mapping() -> None:
    wanted = override(Config(), ["training.seed=7", "masking.schemes={encoding: 2}"])
    assert override(wanted, "model.width=64").model.width == 64
    given = {"training.seed": np.int64(7), "masking.schemes": {"encoding": np.float64(2)}}
    assert override(Config(), given) == wanted
    assert override(Config(), {"training": {"seed": 7}}).training.seed == 7
    assert override(Config(), {"model.input_rank": None}).model.input_rank is None


@pytest.mark.parametrize("text", ["[hand, {name: side}]", "[{name: hand}, side]"])
def test_behaviours_can_be_named_alone(text: str) -> None:
    behaviours = override(Config(), f"data.behaviours={text}").data.behaviours or ()
    assert [one.model_dump(exclude_none=True) for one in behaviours] == [
        {"name": "hand"}, {"name": "side"}
    ]  # fmt: skip
    assert DataConfig(behaviours=("hand", "side")).behaviours == behaviours  # type: ignore[arg-type]
    assert override(Config(), "data.behaviours=hand").data.behaviours == behaviours[:1]


def test_a_behaviour_in_full_is_the_same_however_it_is_given() -> None:
    full = {"name": "a", "source": "a.b", "kind": "continuous", "per": "bin"}
    given = Config(data=DataConfig(behaviours=(BehaviourConfig.model_validate(full),)))
    assert given == from_mapping({"data": {"behaviours": [full]}})


def test_settings_are_read_as_yaml() -> None:
    changed = override(
        Config(), ["training.seed=7", "training.betas=[0.8, 0.9]", "model.input_rank=null"]
    )
    assert changed.training.seed == 7
    assert changed.training.betas == (0.8, 0.9)
    assert changed.model.input_rank is None
    assert Config().training.seed == 0


def test_later_settings_win() -> None:
    assert override(Config(), ["training.seed=1", "training.seed=2"]).training.seed == 2


def test_a_file_changes_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training:\n  seed: 3\n")
    base = PRESETS["neds"]()
    changed = load_config(path, base)
    assert changed.training.seed == 3
    assert changed.model == base.model
    assert changed.training.learning_rate == base.training.learning_rate


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load_config(path) == Config()


def test_schemes_are_replaced_as_a_whole() -> None:
    changed = override(Config(), ["masking.schemes={encoding: 2}"])
    assert changed.masking.schemes == {"encoding": 2.0}


def test_the_weight_of_one_scheme_leaves_the_others() -> None:
    usual = Config().masking.schemes
    changed = override(Config(), ["masking.schemes.encoding=3"]).masking.schemes
    assert changed == usual | {"encoding": 3.0}
    assert changed != usual
    both = override(Config(), ["masking.schemes={encoding: 1}", "masking.schemes.decoding=2"])
    assert both.masking.schemes == {"encoding": 1.0, "decoding": 2.0}


def test_a_mapping_without_a_space_after_its_colon_says_so() -> None:
    with pytest.raises(UserError, match="'encoding:1' is a name without a value; write a space"):
        override(Config(), ["masking.schemes={encoding:1}"])


def test_a_behaviour_can_be_given() -> None:
    setting = "data.behaviours=[{name: hand, source: hand.xy, kind: continuous, per: bin}]"
    (behaviour,) = override(Config(), [setting]).data.behaviours or ()
    assert (behaviour.name, behaviour.source) == ("hand", "hand.xy")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("trainig.seed=1", "unknown configuration key 'trainig'; did you mean 'training'?"),
        (
            "training.max_epoch=1",
            "unknown configuration key 'training.max_epoch'; did you mean 'training.max_epochs'?",
        ),
        (
            "max_epochs=1",
            "unknown configuration key 'max_epochs'; did you mean 'training.max_epochs'?",
        ),
        (
            "seed=1",
            "unknown configuration key 'seed'; did you mean 'data.split.seed' or 'training.seed'?",
        ),
        (
            "data.windows.lenght_s=1",
            "unknown configuration key 'data.windows.lenght_s'; "
            "did you mean 'data.windows.length_s'?",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest(setting: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        override(Config(), [setting])
    assert str(caught.value) == sentence


def test_a_key_like_no_other_gets_the_list_of_its_section() -> None:
    with pytest.raises(UserError, match=r"'loss\.qqq'; known keys: activity, activity_unit, "):
        override(Config(), ["loss.qqq=1"])


def test_an_unknown_key_of_a_behaviour_names_the_nearest() -> None:
    behaviour = {"name": "a", "source": "a.b", "kind": "continuous", "per": "bin", "knd": 1}
    with pytest.raises(UserError, match=r"did you mean 'data\.behaviours\.0\.kind'\?"):
        from_mapping({"data": {"behaviours": [behaviour]}})


@pytest.mark.parametrize(
    "setting",
    [
        "training.batch_size=0",
        "training.precision=64",
        "masking.ratio=1",
        "training.seed=many",
        "data.split.train=1.5",
        "masking.schemes={encoding: often}",
        "masking.schemes={encoding: 1, decoding: -1}",
        "data.windows.bin_size_s=0",
        "data.windows.bin_size_s=-0.02",
        "data.windows.stride_s=0",
        "data.windows.pre_s=.nan",
        "data.windows.length_s=.inf",
        "model.input_rank=0",
        "model.output_rank=0",
        "loss.activity=-1",
        "loss.continuous=.nan",
        "training.betas=[2, 0.9]",
        "training.clip=-1",
        "training.div_factor=0",
        "training.threads=0",
    ],
)
def test_a_bad_value_is_named_with_what_was_found(setting: str) -> None:
    key = setting.split("=")[0]
    with pytest.raises(UserError, match=rf"configuration key '{key}.*found"):
        override(Config(), [setting])


def test_windows_that_end_before_they_start_are_what_is_wrong() -> None:
    said = "windows from 0.5 s before an event to -0.5 s after it end before they start; make"
    with pytest.raises(UserError, match=said) as caught:
        override(Config(), ["data.windows.pre_s=0.5", "data.windows.post_s=-0.5"])
    assert "found" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError, match=r"model\.layers.*; .*training\.batch_size"):
        from_mapping({"training": {"batch_size": 0}, "model": {"layers": 0}})


def test_the_width_must_fit_the_heads() -> None:
    with pytest.raises(UserError, match=r"model\.width 100 must be a multiple of twice"):
        override(Config(), ["model.width=100", "model.heads=8"])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("training.seed", "setting 'training.seed' has no '='; write section.key=value"),
        ("training.betas=[1", "setting 'training.betas=[1' is not valid YAML"),
    ],
)
def test_a_setting_that_cannot_be_read_is_shown(setting: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        override(Config(), [setting])
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "is not valid YAML"),
        ("- 1", "holds a list, expected sections with keys"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"binary\.yaml is not valid YAML"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no configuration file at .*none\.yaml"):
        load_config(tmp_path / "none.yaml")
