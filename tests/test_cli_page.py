"""The page of the command line says what the command line says.

``python tests/test_cli_page.py`` writes its list of commands and options anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from neuroduet import cli
from neuroduet.cli.help import EXAMPLES, SUBJECTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
BEGIN = "<!-- begin: written by python tests/test_cli_page.py -->\n"
END = "<!-- end -->"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command in the order of the help; those of a group after it."""
    app: Any = typer.main.get_command(cli.app)
    for name in (name for group in SUBJECTS.values() for name in group):
        command = app.commands[name]
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
            continue
        for last, one in inner.items():
            yield f"{name} {last}", one


def reference() -> str:
    """All commands, with their arguments and options."""
    return "\n".join(_section(name, command) for name, command in commands())


def _section(name: str, command: Any) -> str:
    rows = [_row(one) for one in command.params]
    table = "\n".join(["| word | meaning |", "| --- | --- |", *rows])
    example = f"Example: `neuroduet {EXAMPLES[name]}`"
    return f"### {name}\n\n{command.help.splitlines()[0]}\n\n{example}\n\n{table}\n"


def _row(parameter: Any) -> str:
    flags = [word for word in parameter.opts if word.startswith("-")]
    value = parameter.metavar or ("" if parameter.is_flag else "VALUE") if flags else ""
    said = ", ".join(f"`{flag} {value}`" if value else f"`{flag}`" for flag in flags)
    said = said or f"`{parameter.metavar or parameter.name.upper()}`"
    notes = [parameter.help]
    if parameter.required:
        notes.append("Required.")
    if flags and parameter.default is not None and not parameter.is_flag:
        notes.append(f"Default: `{parameter.default}`.")
    return f"| {said} | {' '.join(notes)} |".replace("\\", "\\\\")


def written() -> str:
    """What the page lists."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return rest.partition(END)[0]


def test_the_page_lists_every_command_and_option() -> None:
    assert written() == f"\n{reference()}\n", "run: python tests/test_cli_page.py"


def test_the_page_says_what_the_json_of_every_command_holds() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = text[text.index("## What `--json` holds") : text.index(BEGIN)]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    told = [name for cell in cells for name in re.findall(r"`([a-z ]+)`", cell)]
    assert sorted(told) == sorted(name for name, _ in commands())


def test_the_page_names_every_exit_code() -> None:
    from neuroduet.cli import ending

    text = PAGE.read_text(encoding="utf-8")
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    codes = {ending.DONE, ending.WRONG_USE, ending.BUG, ending.INTERRUPTED, ending.CLOSED_PIPE}
    assert named == {1, *codes}


def test_the_page_names_the_words_that_are_allowed_anywhere() -> None:
    from neuroduet.cli.loudness import WORDS

    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{word}`" in text for word in WORDS)


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{reference()}\n{END}{after}", encoding="utf-8")
