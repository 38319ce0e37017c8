"""Options and arguments that several commands share, and what their texts mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neuroduet.errors import UserError, unknown
from neuroduet.plain import read_yaml

if TYPE_CHECKING:
    from neuroduet.config import Config
    from neuroduet.tasks.task import ActivityOptions

PRESET_NAMES = (
    *("duet", "mtm", "ndt1_temporal", "ndt1_neuron", "ndt1_causal", "ndt1_intra_region"),
    *("ndt1_inter_region", "neds", "neds_faithful", "mtm_faithful", "ndt2", "poyo"),
)
TASK_NAMES = (
    *("encoding", "encoding_from", "decoding", "decoding_by_region", "co_smoothing", "forward"),
    *("intra_region", "inter_region", "regions", "activity"),
)
SEGMENTER_NAMES = (
    *("random_forest", "boosting", "mlp", "lstm", "gru", "tcn", "ms_tcn"),
    *("hmm", "arhmm", "slds", "gmdgm", "s3lds"),
)
SUITE_NAMES = ("ts1", "ts2", "ts3")
FORMAT_NAMES = ("nwb", "alf", "pynapple")
"""What shells complete: the keys of registries whose packages take seconds to import."""


def among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """What a shell is told when it completes one name, or the last of several.

    Args:
        known: The names.

    Example:
        >>> among(["encoding", "decoding"])("encoding,d")
        ['encoding,decoding']
    """

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + name for name in known if name.startswith(last)]

    return complete


def of_configuration(incomplete: str) -> list[str]:
    """What a shell is told when it completes a setting: its name, then its value.

    Args:
        incomplete: E.g. ``loss.k``, or ``loss.kind=s``.
    """
    from neuroduet.config import allowed_values

    key, given, _ = incomplete.partition("=")
    known = allowed_values()
    if given:
        return [f"{key}={value}" for value in known.get(key, ())]
    return [f"{name}=" for name in known if "." in name and name.startswith(key)]


Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a trained model.")]
Data = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder of recordings (.h5), or one of them.")
]
OutRun = Annotated[Path, typer.Option("--out", metavar="RUN", help="Run folder to create.")]
OutFile = Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")]
OutDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")]
Sessions = Annotated[
    str | None,
    typer.Option("--sessions", metavar="A,B", help="Sessions to use; all if not given."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file whose keys replace the preset's."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="E.g. training.seed=1; several are allowed.",
        autocompletion=of_configuration,
    ),
]
MaxMinutes = Annotated[
    float | None,
    typer.Option("--max-minutes", metavar="M", min=0.01, help="Stop training after M minutes."),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds", metavar="K", min=2, help="Hide units in K groups; one by one if not given."
    ),
]
Horizon = Annotated[
    int | None,
    typer.Option("--horizon", metavar="BINS", min=1, help="Bins that forward prediction hides."),
]
Units = Annotated[
    str | None,
    typer.Option("--units", metavar="A,B", help="Units to ask about; all if not given."),
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="duet, mtm, neds, ndt2, poyo, *_faithful, ndt1_*.",
        autocompletion=among(PRESET_NAMES),
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="full, probe (stitchers only) or gradual.",
        autocompletion=among(("full", "probe", "gradual")),
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks",
        metavar="A,B",
        help="E.g. encoding,decoding,activity,regions; all.",
        autocompletion=among(TASK_NAMES),
    ),
]
Nulls = Annotated[
    int, typer.Option("--nulls", metavar="N", min=0, help="Draws of each null, for p-values.")
]
Precision = Annotated[
    str, typer.Option("--precision", metavar="P", help="32, or bf16 (twice as fast).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run that --out holds.")]
Recordings = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder of recordings (.h5, .npz), or one."),
]
Segmenters = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL...", help="Folder of `actions train`; several are averaged."),
]
Source = Annotated[
    str | None,
    typer.Option("--source", metavar="G.F", help="Time series to segment; the pose."),
]
Names = Annotated[
    str | None,
    typer.Option("--recordings", metavar="A,B", help="Recordings to use; all if not given."),
]
Features = Annotated[
    str, typer.Option("--features", metavar="KIND", help="Kind of features, e.g. kinematics.")
]
Models = Annotated[
    str,
    typer.Option(
        "--models",
        metavar="A,B",
        help="Models to compare.",
        autocompletion=among(SEGMENTER_NAMES),
    ),
]
Segmenter = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        help="E.g. tcn, boosting, arhmm, s3lds.",
        autocompletion=among(SEGMENTER_NAMES),
    ),
]
Kinds = Annotated[
    str, typer.Option("--features", metavar="A,B", help="Kinds of features to compare.")
]
ChosenOfModel = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="MODEL.KEY=VALUE", help="Option of a model; several allowed."),
]
Pool = Annotated[
    str, typer.Option("--pool", metavar="N", help="Frames averaged into one, or auto.")
]
Smooth = Annotated[
    str, typer.Option("--smooth", metavar="N", help="Frames to average answers over, or auto.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Option of the model; several are allowed."),
]


def budget(max_minutes: float | None) -> list[str]:
    """The setting behind ``--max-minutes``, if it was given.

    Args:
        max_minutes: Minutes.
    """
    return [] if max_minutes is None else [f"training.max_minutes={max_minutes}"]


def names(text: str | None) -> list[str] | None:
    """Names separated by commas; ``None`` stays ``None``.

    Args:
        text: E.g. ``mouse1,mouse2``.

    Raises:
        UserError: It holds no name, as an unset variable of a shell does.
    """
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UserError(f"a list of names is '{text}'; give names as in a,b or leave it out")
    return found


def spread_settings(words: list[str]) -> list[str]:
    """Let several settings follow one ``--set``, as in ``--set a.b=1 c.d=2``.

    Args:
        words: The command line.

    Returns:
        The command line with ``--set`` before each of them.
    """
    spread: list[str] = []
    for word in words:
        follows = len(spread) > 1 and spread[-2] == "--set"
        if follows and re.match(r"\w+(\.\w+)+=", word):
            spread.append("--set")
        spread.append(word)
    return spread


def activity_options(folds: int | None, horizon: int | None, units: str | None) -> ActivityOptions:
    """The options of the activity tasks.

    Args:
        folds: See :class:`~neuroduet.tasks.task.ActivityOptions`.
        horizon: The same.
        units: Unit ids separated by commas.
    """
    from neuroduet.tasks.task import ActivityOptions

    wanted = names(units)
    return ActivityOptions(
        folds=folds, horizon=horizon, units=None if wanted is None else tuple(wanted)
    )


def half_or_single(text: str) -> Literal["32", "bf16"]:
    """A precision as the user wrote it.

    Args:
        text: ``32`` or ``bf16``.

    Raises:
        UserError: It is neither.
    """
    if text == "32":
        return "32"
    if text == "bf16":
        return "bf16"
    raise unknown("precision", text, ("32", "bf16"))


def number_or_auto(option: str, text: str) -> int | Literal["auto"]:
    """A number of frames as the user wrote it.

    Args:
        option: Name of the option, for the error.
        text: A whole number from 1 on, or ``auto``.

    Raises:
        UserError: It is neither.
    """
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"{option} is '{text}'; give a whole number from 1 on, or auto")
    return int(text)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas, ascending and each once.

    Args:
        option: Name of the option, for the error.
        text: E.g. ``50,100,250``.

    Raises:
        UserError: One is no whole number from 1 on.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UserError(f"{option} is '{text}'; give whole numbers from 1 on, as in 50,100,250")
    return tuple(sorted({int(word) for word in words}))


def keyed(settings: list[str] | None) -> dict[str, Any]:
    """Settings as a mapping, values written as in YAML.

    Args:
        settings: E.g. ``["dropout=0.2", "features.spans=[1, 5]"]``; a dot leads into a section.

    Raises:
        UserError: A setting has no ``=`` or no readable value.
    """
    found: dict[str, Any] = {}
    for setting in settings or []:
        key, given, text = setting.partition("=")
        if not given or not key.strip():
            raise UserError(f"setting '{setting}' has no '='; write key=value")
        *sections, last = key.strip().split(".")
        inner = found
        for section in sections:
            inner = inner.setdefault(section, {})
        try:
            inner[last] = read_yaml(text)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"setting '{setting}' is not valid YAML: {reason}") from None
    return found


def configured(preset: str, file: Path | None, settings: list[str]) -> Config:
    """A preset, changed by a file, changed by settings.

    Args:
        preset: Name of the preset.
        file: YAML file of ``--config``.
        settings: Words of ``--set``.

    Raises:
        UserError: There is no such preset, or a setting is not allowed.
    """
    from neuroduet.config import load_config, override
    from neuroduet.presets import PRESETS

    if preset not in PRESETS:
        raise unknown("preset", preset, PRESETS)
    config = PRESETS[preset]()
    return override(load_config(file, config) if file else config, settings)
