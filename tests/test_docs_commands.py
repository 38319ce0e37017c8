"""What the pages print for users to type: every command is one, every mapping file can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import yaml

from neuroduet import cli
from neuroduet.options import spread_settings
from neuroduet.simulate import simulate

PROJECT = Path(__file__).parents[1]
PAGES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
MAPPINGS = {"mouse.yaml": "mat", "counts.yaml": "npz", "behaviours.yaml": "nwb"}


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Every line of a shell block that calls us, with its page."""
    lines = [
        (page.name, line.split("   #")[0].strip())
        for page in PAGES
        for block in blocks(page, "sh")
        for line in block.splitlines()
    ]
    return [(page, line) for page, line in lines if line.startswith("neuroduet ")]


def parse(words: list[str]) -> None:
    """Parse a command line without running it; options and arguments must fit."""
    command: Any = typer.main.get_command(cli.app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{words[0]} is no command"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


def mapping(name: str) -> str:
    """The mapping file of that name, as the page prints it."""
    (found,) = [one for one in blocks(PROJECT / "docs" / "ingest.md", "yaml")
                if one.startswith(f"# {name}")]  # fmt: skip
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_printed_command_is_understood(page: str, line: str) -> None:
    parse(spread_settings(shlex.split(line)[1:]))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("neuroduet ingest a b --wrong", "No such option"),
        ("neuroduet train --data a", "Missing parameter: out"),
        ("neuroduet tidy", "tidy is no command"),
    ],
)
def test_a_command_that_is_none_would_be_noticed(line: str, complaint: str) -> None:
    with pytest.raises(Exception, match=complaint):
        parse(shlex.split(line)[1:])


def test_pages_link_to_pages_that_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([\w./-]+\.md)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{page.name} links to {target}"


def write_sources(folder: Path) -> None:
    """One session in each of the formats whose mapping files are printed."""
    from scipy.io import savemat

    from neuroduet.data.recording import load
    from neuroduet.data.writers.nwb import write_nwb

    draw = np.random.default_rng(0)
    simulate(out=folder / "sim", sessions=1, seed=0, size="tiny")
    (path,) = (folder / "sim").glob("*.h5")
    recording = load(path, lazy=False)
    for name in MAPPINGS.values():
        (folder / name).mkdir()
    write_nwb(recording, folder / "nwb" / "a.nwb")
    trials, wheel, units = recording.trials, recording.wheel, recording.units
    cells = np.empty(len(units.id), dtype=object)
    for unit in range(len(cells)):
        cells[unit] = recording.spikes.timestamps[recording.spikes.unit_index == unit] * 1000
    arrays = {
        "spike_times": cells, "area": np.array(units.region, dtype=object),
        "depth": units.depth_um, "trial_on": trials.start * 1000, "trial_off": trials.end * 1000,
        "choice": trials.choice.astype(float), "wheel_t": wheel.timestamps * 1000,
        "wheel_speed": wheel.wheel_speed,
    }  # fmt: skip
    savemat(folder / "mat" / "b.mat", arrays)
    np.savez(
        folder / "npz" / "c.npz",
        fr=draw.poisson(0.5, (6, 50, 20)),
        region=np.array(["CA1"] * 6),
        running=draw.normal(size=(20, 50)),
        side=draw.choice([-1, 1], 20),
    )


def test_the_printed_mapping_files_read_what_they_describe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuroduet.data.recording import describe

    pytest.importorskip("pynwb", reason="pynwb writes the NWB file: pip install 'neuroduet[nwb]'")
    write_sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    expected = {"mat": {"choice", "wheel"}, "npz": {"running", "side"}, "nwb": {"speed", "choice"}}
    for name, source in MAPPINGS.items():
        Path(name).write_text(mapping(name), encoding="utf-8")
        assert yaml.safe_load(mapping(name))
        words = ["ingest", source, f"data_{source}", f"--{source}", "--mapping", name]
        assert cli.main([*words, "--check"]) == 0
        assert not Path(f"data_{source}").exists()
        assert cli.main(words) == 0
        (recording,) = Path(f"data_{source}").glob("*.h5")
        found = describe(recording)
        assert not found["problems"]
        assert {one["name"] for one in found["behaviours"]} == expected[source]
