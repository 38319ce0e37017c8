"""Every code block of the README and of the pages runs, in a reader's order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import docs_inputs
import numpy as np
import pytest
import yaml
from docs_runner import (
    APPENDED,
    OTHER_PROGRAMS,
    PARSED,
    REPLACED,
    Block,
    blocks_of,
    files_of,
    parse,
    run_blocks,
    run_line,
    short,
)

from neuroduet import cli
from neuroduet.simulate import simulate

PROJECT = Path(__file__).resolve().parents[1]
MOST_NOT_RUN = 5
"""Blocks that may be marked as not run."""

MAPPINGS = {"mouse.yaml": "mat", "counts.yaml": "npz", "behaviours.yaml": "nwb"}
PAGES = {
    str(page.relative_to(PROJECT / "docs") if page.name != "README.md" else page.name): page
    for page in (PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md")))
}
WITH_BLOCKS = [name for name, page in PAGES.items() if blocks_of(page)]


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recorded data, cut short."""
    source = docs_inputs.shared_data()
    if not source.is_dir():
        pytest.skip(f"no recorded data at {source}; set NEURODUET_SHARED_DATA to its folder")
    folder = tmp_path_factory.mktemp("recorded")
    docs_inputs.shorten(source, folder)
    return folder


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    with short(monkeypatch):
        yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("name", WITH_BLOCKS)
def test_every_block_of_a_page_runs(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGES[name]
    blocks = blocks_of(page)
    if "NEURODUET_SHARED_DATA" in page.read_text(encoding="utf-8"):
        monkeypatch.setenv("NEURODUET_SHARED_DATA", str(request.getfixturevalue("recorded")))
    for make in docs_inputs.INPUTS.get(name, ()):
        make(tmp_path)
    for file, text in files_of(page).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run_blocks(blocks) == [block.place for block in blocks if not block.not_run]


def test_only_a_few_blocks_are_not_run_and_these_can_be_read() -> None:
    marked = [block for page in PAGES.values() for block in blocks_of(page) if block.not_run]
    assert len(marked) <= MOST_NOT_RUN
    for block in marked:
        if block.language == "python":
            compile(block.text, block.place, "exec")
            for module in re.findall(r"^(?:from|import) (neuroduet[\w.]*)", block.text, re.M):
                import_module(module)
        for line in block.lines if block.language == "sh" else ():
            program, *words = shlex.split(line, comments=True)
            if program == "neuroduet":
                parse(words)


def test_no_entry_of_the_runners_tables_is_out_of_use() -> None:
    lines = [
        line
        for page in PAGES.values()
        for block in blocks_of(page)
        if block.language == "sh"
        for line in block.lines
    ]
    for text in (*APPENDED, *PARSED, *REPLACED):
        assert any(text in line for line in lines), text
    assert OTHER_PROGRAMS.keys() >= {shlex.split(line)[0] for line in lines} - {"neuroduet"}
    assert set(docs_inputs.INPUTS) <= set(WITH_BLOCKS)


def test_a_block_that_fails_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run_blocks([Block(place="p:1", language="python", text="1 / 0", not_run="")])
    with pytest.raises(AssertionError, match="exit code 2"):
        run_line("p:1", "neuroduet inspect nowhere")
    with pytest.raises(AssertionError, match="curl"):
        run_line("p:1", "curl example.org")


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


def test_pages_link_to_pages_and_images_that_are_there() -> None:
    for name, page in PAGES.items():
        for target in re.findall(r"\]\(([\w./-]+\.(?:md|png))", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file(), f"{name} links to {target}"


def test_scripts_that_pages_name_are_there() -> None:
    for page in PAGES.values():
        for script in re.findall(r"\b(?:examples|benchmarks)/\w+\.\w+", page.read_text()):
            assert (PROJECT / script).is_file(), f"{page.name} names {script}"


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
    mappings = files_of(PAGES["ingest.md"])
    expected = {"mat": {"choice", "wheel"}, "npz": {"running", "side"}, "nwb": {"speed", "choice"}}
    for name, source in MAPPINGS.items():
        Path(name).write_text(mappings[name], encoding="utf-8")
        assert yaml.safe_load(mappings[name])
        words = ["ingest", source, f"data_{source}", f"--{source}", "--mapping", name]
        assert cli.main([*words, "--check"]) == 0
        assert not Path(f"data_{source}").exists()
        assert cli.main(words) == 0
        (recording,) = Path(f"data_{source}").glob("*.h5")
        found = describe(recording)
        assert not found["problems"]
        assert {one["name"] for one in found["behaviours"]} == expected[source]
