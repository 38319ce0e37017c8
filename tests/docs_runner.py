"""Runs the code blocks of a page of the documentation, from top to bottom.

The Python blocks of a page share one namespace, and everything happens in one fresh folder. Shell
lines that start with ``neuroduet`` run in this process. Pages are written for real use; what is
made shorter here is all in the tables below, and nothing else is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

STEPS = 3
"""Every training of a transformer in this process makes at most so many steps ..."""

SEGMENTER_STEPS = 30
"""... and every training of a network that segments actions so many."""

FOLDS = 2
"""Every cross-validation has so many folds of one seed, or one fold of so many seeds,
and is scored in decoding alone."""

APPENDED: Mapping[str, tuple[str, ...]] = {
    "neuroduet simulate": ("--size", "tiny", "--sessions", "2"),
    "neuroduet search": ("--trials", "1", "--workers", "1", "--epochs", "1"),
    "actions density": ("--goals", "20,40", "--seeds", "1"),
    "actions compare": ("--folds", "2"),
    "--nulls": ("--nulls", "20"),
    "--model boosting": ("--set", "rounds=10"),
    "tcn,boosting": ("--set", "boosting.rounds=10"),
}
"""Words added to the lines that hold these; the last of two equal options counts."""

REPLACED: Mapping[str, str] = {"trials/0007": "trials/0001"}
"""Words of shell lines that become others: of a search there is one trial."""

PARSED: Mapping[str, str] = {
    "neuroduet view": "serves a page until it is stopped",
    "neuroduet search --from": "takes as long as the other; tests/training/test_search.py has one",
    "--push": "needs the network",
    "--address auto": "needs a Ray cluster",
    "--gpus-per-trial": "needs a GPU",
    "--one-set neds-train": "needs the sessions of the publication",
}
"""Lines that hold one of these words are parsed, not run, and why."""

OTHER_PROGRAMS: Mapping[str, str] = {
    "make": "sets up an environment; the targets are those of the Makefile",
    "pip": "installs packages",
    "sbatch": "needs Slurm",
    "torchrun": "starts processes; tests/training/test_processes.py does",
    "docker": "needs a container engine",
    "hf": "needs an account of the Hugging Face Hub",
}
"""Programs other than ours that shell blocks may call, and why they are not run."""

MARKER = re.compile(r"<!-- not run: (.+?) -->\s*\Z")
"""What stands directly above a fence whose block can run nowhere in a test."""

REGISTRIES = (
    "neuroduet.masking.SCHEMES",
    "neuroduet.tasks.TASKS",
    "neuroduet.models.MODELS",
    "neuroduet.presets.PRESETS",
    "neuroduet.data.readers.READERS",
    "neuroduet.actions.families.FAMILIES",
)
"""Tables that a page may add to; they are as before when it ends."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        place: Page and line.
        language: The word behind the fence.
        text: What it says.
        not_run: Why it is not run; empty where it is.
    """

    place: str
    language: str
    text: str
    not_run: str

    @property
    def lines(self) -> list[str]:
        """Commands of a shell block, continued lines joined, comments left out."""
        joined = self.text.replace("\\\n", " ").splitlines()
        return [line for line in joined if shlex.split(line, comments=True)]


def blocks_of(page: Path) -> list[Block]:
    """The Python and shell blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in re.finditer(r"^( *)```(python|sh)\b.*?\n(.*?)^ *```", text, re.M | re.S):
        above = MARKER.search(text[: fence.start()])
        indent = len(fence[1])
        found.append(
            Block(
                place=f"{page.name}:{text.count(chr(10), 0, fence.start()) + 1}",
                language=fence[2],
                text="".join(line[indent:] for line in fence[3].splitlines(keepends=True)),
                not_run=above[1] if above else "",
            )
        )
    return found


def files_of(page: Path) -> dict[str, str]:
    """Blocks that are files: those whose first line is a comment with the name of one."""
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^```(?:yaml|toml)\n(# ([\w.]+\.\w+).*?)^```", text, re.M | re.S)
    return {name: body for body, name in fences}


def run_blocks(blocks: list[Block]) -> list[str]:
    """Run blocks in the current folder; the places of those that were run.

    A shell block counts as run once each of its lines was run, parsed or belongs to another
    program, as the tables say.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    done = []
    for block in blocks:
        if block.not_run:
            continue
        if block.language == "python":
            exec(compile(block.text, block.place, "exec"), namespace)
        else:
            for line in block.lines:
                run_line(block.place, line)
        done.append(block.place)
    return done


def run_line(place: str, line: str) -> None:
    """Run or parse one line of a shell block."""
    from neuroduet import cli

    for text, instead in REPLACED.items():
        line = line.replace(text, instead)
    program, *words = shlex.split(line, comments=True)
    if program in OTHER_PROGRAMS:
        return
    assert program == "neuroduet", f"{place}: what '{program}' does here is said in no table"
    if any(text in line for text in PARSED):
        parse(words)
        return
    more = [word for text, added in APPENDED.items() if text in line for word in added]
    code = cli.main([*words, *more])
    assert code == 0, f"{place}: `{line}` ended with exit code {code}"


def parse(words: list[str]) -> None:
    """Parse a command line without running it; options and arguments must fit."""
    import typer

    from neuroduet import cli
    from neuroduet.options import spread_settings

    words = spread_settings(words)
    command: Any = typer.main.get_command(cli.app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{words[0]} is no command"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


@contextmanager
def short(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make trainings and cross-validations short, and leave registries as they were.

    Args:
        patch: Undone by its owner. What is replaced is looked up when it is called, so that
            nothing keeps a short version.
    """
    from neuroduet.actions.networks import training as networks
    from neuroduet.actions.s3lds import fitting as latents
    from neuroduet.tasks import crossval
    from neuroduet.training import fit

    validate = crossval.cross_validate

    def one_after_the_other(jobs: Any, **given: Any) -> None:
        for function, arguments in jobs:
            function(*arguments)

    def small(*args: Any, folds: int | None = None, **more: Any) -> Any:
        more |= {"seeds": 1 if folds else FOLDS, "workers": 1, "tasks": ["decoding"]}
        return validate(*args, folds=folds and FOLDS, **more)

    patch.setattr(fit, "total_steps", _at_most(fit.total_steps, STEPS))
    patch.setattr(fit, "run_jobs", one_after_the_other)
    patch.setattr(crossval, "cross_validate", small)
    for module in (networks, latents):
        patch.setattr(module, "n_steps", _at_most(module.n_steps, SEGMENTER_STEPS))
    with _registries_as_before():
        yield


def _at_most(steps: Callable[..., int], limit: int) -> Callable[..., int]:
    return lambda *given: min(steps(*given), limit)


@contextmanager
def _registries_as_before() -> Iterator[None]:
    from importlib import import_module

    tables: list[dict[str, Any]] = []
    for name in REGISTRIES:
        module, _, table = name.rpartition(".")
        tables.append(getattr(import_module(module), table))
    before = [dict(table) for table in tables]
    try:
        yield
    finally:
        for table, entries in zip(tables, before, strict=True):
            table.clear()
            table.update(entries)
