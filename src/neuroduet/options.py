"""Options and arguments that several commands share, and what their texts mean."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from neuroduet.errors import unknown

if TYPE_CHECKING:
    from neuroduet.tasks.task import ActivityOptions

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
    typer.Option("--set", metavar="KEY=VALUE", help="E.g. training.seed=1; several are allowed."),
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
Precision = Annotated[
    str, typer.Option("--precision", metavar="P", help="32, or bf16 (twice as fast).")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run that --out holds.")]


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
    """
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


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
