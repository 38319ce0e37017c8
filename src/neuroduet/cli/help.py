"""How the command line explains itself: commands by subject, one example of each."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import typer
from typer.core import TyperGroup

SUBJECTS = {
    "Data": ("simulate", "ingest", "inspect"),
    "Models": ("train", "finetune", "search", "plan", "list", "info"),
    "Questions": ("evaluate", "baselines", "crossval", "predict", "embed", "benchmark", "submit"),
    "Actions": ("actions",),
    "Looking and sharing": ("report", "view", "export", "share"),
    "This program": ("demo", "doctor", "completion"),
}
"""Commands as the help shows them, by what they are about."""

LONGEST = 200
"""Letters of a command's sentence: enough for all of it, in two lines if need be."""

NEAR = 0.75
"""From this likeness on (0 to 1) a wrong option is taken for a typing error."""

EXAMPLES = {
    "simulate": "simulate data --sessions 6",
    "ingest": "ingest session.nwb data --nwb --check",
    "inspect": "inspect data",
    "train": "train --data data --out runs/first --max-minutes 10",
    "finetune": "finetune runs/first --data new --out runs/second",
    "search": "search --data data --out searches/first --trials 20",
    "plan": "plan --preset neds --data data",
    "list": "list runs",
    "info": "info runs/first",
    "evaluate": "evaluate runs/first --data data --tasks encoding,decoding",
    "baselines": "baselines --data data --out baselines.csv",
    "crossval": "crossval --data data --out cv --preset duet,mtm --folds 5",
    "predict": "predict runs/first --data data --out predictions",
    "embed": "embed runs/first --out units.csv",
    "benchmark": "benchmark --data published --suite ts2 --out staged",
    "submit": "submit run --data eval --suite ts2 --label a --out a.zip",
    "report": "report runs/first",
    "view": "view runs/first --data data",
    "export": "export runs/first --data data --to nwb --out exported",
    "share": "share runs/first --out shared",
    "demo": "demo --out demo",
    "doctor": "doctor",
    "completion": "completion bash",
    "actions": "actions train --data films --out segmenter",
    "actions train": "actions train --data films --out segmenter --model tcn",
    "actions predict": "actions predict segmenter --data films --out answers",
    "actions evaluate": "actions evaluate segmenter --data films",
    "actions compare": "actions compare --data films --out grid --models tcn,gru",
    "actions density": "actions density --data films --out density --models tcn",
    "actions suggest": "actions suggest segmenter --data films --out next.csv",
    "actions import": "actions import --pose rat.csv --rate 30 --out rat.h5",
    "actions label": "actions label rat.h5 --labels rat.labels.csv",
}
"""One use of every command, without the name of the program."""


WrongUse: Any = typer.BadParameter.__mro__[1]
"""What a wrong option raises; typer has it from click, or from a copy of its own."""


class Commands(TyperGroup):
    """Commands listed by subject; without words, their help."""

    def invoke(self, ctx: Any) -> Any:
        """As always, but an unknown option is told with what could have been meant."""
        try:
            return super().invoke(ctx)
        except WrongUse as error:
            if type(error).__name__ == "NoSuchOption":
                _add_remedy(error, error.option_name)
            raise

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As always, but nothing stands for ``--help``."""
        return super().parse_args(ctx, args if args or ctx.resilient_parsing else ["--help"])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands of each subject; those of no subject under `Commands`."""
        named = {name for group in SUBJECTS.values() for name in group}
        # A group inside the program has no subjects of its own.
        groups = {} if ctx.parent else dict(SUBJECTS)
        rest = [name for name in self.commands if name not in named or not groups]
        width = max(map(len, self.commands))
        for title, group in {**groups, "Commands": tuple(rest)}.items():
            known = [name for name in group if name in self.commands]
            rows = [(n.ljust(width), self.commands[n].get_short_help_str(LONGEST)) for n in known]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _add_remedy(error: Any, name: str) -> None:
    """Say which option is nearest to an unknown one, or which setting, or which there are."""
    from neuroduet.config import allowed_values

    command = error.ctx.command
    options = [word for one in command.params for word in one.opts if word.startswith("--")]
    near = get_close_matches(name, options, n=1, cutoff=NEAR)
    word = name.lstrip("-").replace("-", "_")
    # Of the commands in groups, --set is about other models.
    settable = "--set" in options and len(error.ctx.command_path.split()) == 2
    keys = [key for key in allowed_values() if key.rpartition(".")[2] == word] if settable else []
    error.possibilities = near or (None if keys else options)
    if keys and not near:
        error.message += f"; it is a setting: write {' or '.join(f'--set {k}=...' for k in keys)}"


def explain(group: Any, place: tuple[str, ...] = ()) -> None:
    """Give every command the example that its help ends with.

    Args:
        group: Commands.
        place: Words before theirs.
    """
    for name, command in group.commands.items():
        path = (*place, name)
        example = EXAMPLES.get(" ".join(path))
        if example:
            command.epilog = f"Example: neuroduet {example}"
        if isinstance(command, TyperGroup):
            explain(command, path)
