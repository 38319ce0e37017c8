"""Habits of the command line: loudness, colours, completion, exit codes, help."""

from __future__ import annotations

import io
import logging
import os
import pty
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from neuroduet import cli, options
from neuroduet.cli import installation
from neuroduet.cli.help import EXAMPLES, SUBJECTS
from neuroduet.cli.loudness import Loudness, take_out
from neuroduet.options import spread_settings

COMMAND = [sys.executable, "-m", "neuroduet"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording."""
    folder = tmp_path_factory.mktemp("data")
    shutil.copyfile(Path(__file__).parent / "frozen" / "v1" / "recording.h5", folder / "mouse.h5")
    return folder


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        env={**clean_environment(), **environment},
    )


def clean_environment() -> dict[str, str]:
    unwanted = {"NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS"}
    return {key: value for key, value in os.environ.items() if key not in unwanted}


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a command shows where standard output and standard error are a terminal."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *words],
        stdout=slave,
        stderr=slave,
        env={**clean_environment(), "TERM": "xterm-256color", **environment},
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the terminal is gone with the last process that held it
            break
        if not part:
            break
        shown += part
    child.wait()
    os.close(master)
    return shown.decode()


@pytest.mark.parametrize(
    ("given", "kept", "loudness"),
    [
        (["-q", "train", "--data", "a"], ["train", "--data", "a"], Loudness(quiet=True)),
        (["train", "--data", "a", "--verbose"], ["train", "--data", "a"], Loudness(verbose=True)),
        (["train", "-v", "--debug"], ["train"], Loudness(verbose=True, debug=True)),
        (["inspect", "--", "-q"], ["inspect", "--", "-q"], Loudness()),
        (["-q", "inspect", "--", "-v"], ["inspect", "--", "-v"], Loudness(quiet=True)),
    ],
)
def test_loudness_is_said_anywhere_before_two_dashes(
    given: list[str], kept: list[str], loudness: Loudness
) -> None:
    assert take_out(given) == (kept, loudness)


def test_a_folder_called_like_an_option_is_reached_after_two_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["inspect", "--", "-q"]) == 2
    assert "there is nothing at -q" in capsys.readouterr().err


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-q", "inspect", "x", "-v"]) == 2
    assert capsys.readouterr().err == (
        "error: --quiet and --verbose contradict each other; leave one of them out\n"
    )


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> list[str]:
    """A training that logs, warns and reports; the command that starts it."""

    def train(report: Callable[..., None], **given: Any) -> Path:
        log = logging.getLogger("neuroduet.somewhere")
        for level in ("debug", "info", "warning"):
            getattr(log, level)(f"a word of {level}\x1b[2J")
        library = logging.getLogger("library")
        library.setLevel(logging.INFO)
        library.info("a word of a library")
        warnings.warn("an old way", DeprecationWarning, stacklevel=1)
        report(SimpleNamespace(step=7), 0.5, {"wheel": 0.25})
        return tmp_path / "run"

    monkeypatch.setitem(sys.modules, "neuroduet.training.fit", SimpleNamespace(train=train))
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    return ["train", "--data", str(data), "--out", str(tmp_path / "run")]


NEXT = "next: neuroduet evaluate"
STEP = " 50%  step 7: mean validation score 0.250"


@pytest.mark.parametrize(
    ("flags", "said", "unsaid"),
    [
        ([], [NEXT, STEP, "of info\\x1b[2J", "of warning"], ["of debug", "of a library"]),
        (["-q"], [], [NEXT, STEP, "of debug", "of info", "of warning", "of a library"]),
        (["-v"], [NEXT, STEP, " s  a word of debug", "of info"], ["of a library"]),
        (["--debug"], [NEXT, STEP, " s  a word of debug"], ["of a library"]),
    ],
)
def test_only_as_much_is_said_as_is_wanted(
    flags: list[str],
    said: list[str],
    unsaid: list[str],
    talkative: list[str],
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    assert cli.main([*talkative, *flags]) == 0
    printed = capsys.readouterr()
    shown = printed.out + printed.err
    assert "the run is in " in printed.out
    assert all(text in shown for text in said), shown
    assert not any(text in shown for text in unsaid), shown


@pytest.mark.parametrize(("flag", "heard"), [("-q", 0), ("-v", 1)])
def test_warnings_of_libraries_are_details(
    flag: str, heard: int, talkative: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    # Where neither is said, python decides, as it does for any program.
    assert cli.main([flag, *talkative]) == 0
    assert sum("an old way" in str(one.message) for one in recwarn) == heard


def test_nothing_of_the_loudness_stays_behind(talkative: list[str]) -> None:
    before = logging.getLogger().handlers[:], logging.getLogger("neuroduet").level
    assert cli.main(["-q", *talkative]) == 0
    assert (logging.getLogger().handlers, logging.getLogger("neuroduet").level) == before


def test_colours_are_for_terminals(data: Path) -> None:
    plain = run("list", str(data))
    assert plain.returncode == 0
    assert plain.stderr == ""
    assert "mouse" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert "\x1b[1m" in on_a_terminal("list", str(data), COLUMNS="200")


def test_who_asks_for_colours_or_for_none_is_heard(data: Path) -> None:
    assert "\x1b[1m" in run("list", str(data), FORCE_COLOR="1").stdout
    assert "\x1b" not in on_a_terminal("doctor", "--help", NO_COLOR="1")
    coloured = "from neuroduet.terminal import new_console; new_console().print('[red]x[/]')"
    for environment, code in (({}, True), ({"NO_COLOR": "1"}, False)):
        found = subprocess.run(
            [sys.executable, "-c", coloured],
            capture_output=True,
            text=True,
            env={**clean_environment(), "FORCE_COLOR": "1", **environment},
        )
        assert ("\x1b[31m" in found.stdout) is code


@pytest.mark.parametrize(("columns", "beside"), [("30", False), ("80", True)])
def test_on_a_narrow_terminal_every_row_is_a_paragraph_of_whole_words(
    columns: str, beside: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    shown = on_a_terminal("list", COLUMNS=columns, NO_COLOR="1")
    assert ("kind: recording\r\n  path: mouse.h5  model: -\r\n" in shown) is not beside
    assert "mouse.h5" in shown


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_closed_pipe_ends_a_command_without_a_word(words: list[str], data: Path) -> None:
    child = subprocess.Popen(
        [*COMMAND, "list", str(data), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait() == 141
    child.stderr.close()


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["--help"], ["list", "nowhere"]])
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_takes_everything(
    name: str, words: list[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    monkeypatch.setattr(sys, name, None)
    assert cli.main(words) == (2 if "nowhere" in words else 0)
    getattr(sys, name).close()


@pytest.mark.parametrize("words", [["list"], ["info", "mäus [1].h5"], ["info", "sö"]])
def test_letters_that_a_stream_lacks_become_escapes(
    words: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(data / "mouse.h5", tmp_path / "mäus [1].h5")
    streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert cli.main(words) == (2 if "sö" in words else 0)
    shown = b"".join(stream.buffer.getvalue() for stream in streams.values()).decode("ascii")
    if words != ["info", "mäus [1].h5"]:
        assert (r"m\xe4us [1].h5" if words == ["list"] else r"s\xf6") in shown


def test_help_alone_is_grouped_and_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    alone = capsys.readouterr()
    assert alone.err == ""
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out == alone.out
    lines = alone.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in alone.out
    titles = [line[:-1] for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert titles == ["Options", *SUBJECTS]
    assert cli.main(["actions"]) == 0
    assert "  density " in capsys.readouterr().out


def commands(group: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield " ".join((*place, name)), command
        if hasattr(command, "commands"):
            yield from commands(command, (*place, name))


APP = dict(commands(typer.main.get_command(cli.app)))


def test_every_command_has_a_subject_and_an_example() -> None:
    assert set(EXAMPLES) == set(APP)
    subjects = [name for group in SUBJECTS.values() for name in group]
    assert sorted(subjects) == sorted(name for name in APP if " " not in name)


@pytest.mark.parametrize("name", APP)
def test_the_example_of_a_command_is_one_line_that_can_be_typed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*name.split(), "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert lines[-1] == f"  Example: neuroduet {EXAMPLES[name]}"
    assert len(lines[-1]) <= 80
    command: Any = typer.main.get_command(cli.app)
    words = EXAMPLES[name].split()
    assert EXAMPLES[name].startswith(name)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, spread_settings(words))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian", "No such command 'trian'. Did you mean 'train'?"),
        ("actions trian", "No such command 'trian'. Did you mean 'train'?"),
        ("train --prest duet", "No such option: --prest"),
        ("train --prest duet", "--preset"),
        ("train --dat data", "No such option: --dat (Possible options: --data)"),
        ("train --wrong", "(Possible options: --config, --data, --json, --max-minutes, --out, "),
        ("train --max_steps 5", "it is a setting: write --set training.max_steps=..."),
        (
            "train --behaviours wheel",
            "it is a setting: write --set data.behaviours=... or --set model.behaviours=...",
        ),
        ("actions train --behaviours wheel", "(Possible options: --data, --features, --json, "),
        ("actions train --modl tcn", "No such option: --modl (Possible options: --model)"),
        ("completion tcsh", "'bash', 'zsh', 'fish'"),
    ],
)
def test_a_typing_mistake_is_answered_by_the_nearest_word(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(line.split()) == 2
    assert said in capsys.readouterr().err


def complete(line: str) -> list[str]:
    """What bash is told when the last word of a line is completed."""
    words = line.split(" ")
    found = run(
        _NEURODUET_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    )
    assert found.stderr == ""
    return found.stdout.split()


def test_shells_complete_commands_options_and_names() -> None:
    assert complete("neuroduet eval") == ["evaluate"]
    assert complete("neuroduet train --pre") == ["--preset"]
    assert complete("neuroduet train --preset neds") == ["neds", "neds_faithful"]
    assert complete("neuroduet evaluate r --tasks encoding,deco") == [
        "encoding,decoding",
        "encoding,decoding_by_region",
    ]


def test_shells_complete_settings_and_their_values() -> None:
    assert complete("neuroduet train --set model.unit") == [
        *("model.unit_dropout=", "model.unit_embedding="),
    ]
    assert complete("neuroduet plan --set loss.kind=s") == ["loss.kind=scored"]
    assert complete("neuroduet plan --set model.prompts=") == [
        *("model.prompts=true", "model.prompts=false"),
    ]
    assert complete("neuroduet plan --set model.width=") == []


def test_every_setting_and_value_that_is_completed_is_allowed() -> None:
    from neuroduet.config import Config, allowed_values, override

    settings = options.of_configuration("")
    assert [setting[:-1] for setting in settings] == [
        name for name in allowed_values() if "." in name
    ]
    chosen = [f"{name}={value}" for name, values in allowed_values().items() for value in values]
    assert len(chosen) > 30
    activity = override(Config(), ["model.behaviours=false"])  # which prompts ask for
    for setting in chosen:
        assert setting in options.of_configuration(setting)
        override(activity, [setting])  # raises what is not allowed


# Words as bash breaks them, at "=" too, and what it puts in the place of the last one.
BROKEN = [
    ("train --set loss.ki", "loss.kind=", True),
    ("train --set loss.kind =", "scored published", False),
    ("train --set loss.kind = p", "published", False),
    ("train --set = loss.kind = p", "published", False),
    ("train --set = loss.ki", "loss.kind=", True),
    ("train --set loss.kind = scored --preset = nd", "ndt1_temporal ndt1_neuron", False),
    ("evaluate r --tasks encoding,co", "encoding,co_smoothing", False),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_puts_words_together_and_answers_where_it_broke_them(tmp_path: Path) -> None:
    program = tmp_path / "neuroduet"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neuroduet "$@"\n')
    program.chmod(0o700)
    lines = ["compopt() { echo without a space; }", installation.BASH]
    for words, _, _ in BROKEN:
        lines.append(f"COMP_WORDS=(neuroduet {words}); COMP_CWORD={len(words.split())}")
        lines.append(f"_neuroduet_completion {program}; echo ${{COMPREPLY[*]}}")
    found = subprocess.run(
        ["bash", "-c", "\n".join(lines)], capture_output=True, text=True, env=clean_environment()
    )
    assert found.stderr == ""
    answers = iter(found.stdout.splitlines())
    for words, answer, glued in BROKEN:
        assert not glued or next(answers) == "without a space", words
        assert next(answers).startswith(answer), words


WHOLE = {
    "neuroduet train --pres": "--preset",
    "neuroduet train --preset=ndt1_c": "--preset=ndt1_causal",
    "neuroduet train --set loss.k": "loss.kind=",
    "neuroduet train --set=loss.kind=s": "--set=loss.kind=scored",
}
"""What stands on a line, and the word that the shell makes of its last one."""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command on the path of shells."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "neuroduet").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neuroduet "$@"\n')
    (tmp_path / "neuroduet").chmod(0o700)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_values_and_settings(program: None) -> None:
    lines = [installation.FISH, *(f"complete -C '{line}'" for line in WHOLE)]
    found = subprocess.run(
        ["fish", "-N", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert found.stderr == ""
    assert [line.split("\t")[0] for line in found.stdout.splitlines()] == list(WHOLE.values())


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_values_and_settings(program: None) -> None:
    lines = [
        "compdef() { }",
        'compadd() { print -r -- "$IPREFIX${@[-1]}"; }',  # the last word is the answer
        # Stands for the function of zsh, which is told '*: :(("value":"help"))'.
        '_arguments() { print -r -- "$IPREFIX${${1#*\\"}%%\\"*}"; }',
        installation.ZSH,
    ]
    for line in WHOLE:
        lines.append(f"words=({line}); CURRENT=$#words; PREFIX=$words[-1]; IPREFIX=")
        lines.append("_neuroduet_completion")
    found = subprocess.run(
        ["zsh", "-f", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert found.stderr == ""
    assert found.stdout.splitlines() == list(WHOLE.values())


def test_completing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from neuroduet.cli import main; main([]); "
        "sys.exit(str({'torch', 'numpy', 'pandas', 'torch_brain'} & set(sys.modules) or ''))"
    )
    environment = {
        **clean_environment(),
        "_NEURODUET_COMPLETE": "complete_bash",
        "COMP_WORDS": "neuroduet train --preset d",
        "COMP_CWORD": "3",
    }
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (found.stdout, found.stderr) == ("duet\n", "\n")


@pytest.mark.parametrize(
    ("names", "module", "registry"),
    [
        (options.PRESET_NAMES, "neuroduet.presets", "PRESETS"),
        (options.SEGMENTER_NAMES, "neuroduet.actions.families", "FAMILIES"),
        (options.SUITE_NAMES, "neuroduet.benchmark.suites", "SUITES"),
        (options.FORMAT_NAMES, "neuroduet.data.writers.prediction_files", "PREDICTION_WRITERS"),
    ],
)
def test_completed_names_are_those_of_the_registries(
    names: tuple[str, ...], module: str, registry: str
) -> None:
    assert names == tuple(getattr(import_module(module), registry))


def test_completed_tasks_are_those_of_the_registry() -> None:
    from neuroduet.tasks import GROUPS, TASKS

    assert (*TASKS, *GROUPS) == options.TASK_NAMES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_it_can_read(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_NEURODUET_COMPLETE" in script
    program = shutil.which(shell)
    if program is not None:
        checked = subprocess.run([program, "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
