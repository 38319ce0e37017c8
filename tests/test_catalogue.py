"""``neuroduet list`` and ``info``: everything of ours is found, whatever lies beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from neuroduet import cli
from neuroduet.catalogue import Entry, find_entries, kind_of
from neuroduet.errors import UserError

FROZEN = Path(__file__).parent / "frozen" / "v1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as it looks after some weeks of work."""
    top = tmp_path / "work"
    shutil.copytree(FROZEN / "ensemble", top / "models" / "shared")
    shutil.copytree(FROZEN / "ensemble" / "members" / "00", top / "runs" / "a" / "first")
    shutil.copytree(FROZEN / "tcn", top / "runs" / "actions")
    (top / "data").mkdir()
    shutil.copyfile(FROZEN / "recording.h5", top / "data" / "mouse.h5")
    (top / "settings").mkdir()
    (top / "settings" / "config.yaml").write_text("preset: duet\n")  # settings, but no run
    with h5py.File(top / "data" / "pose.h5", "w") as file:
        file["points"] = [1.0, 2.0]  # somebody else's
    for passed_by in (".hidden", "site-packages"):
        (top / passed_by).mkdir()
        shutil.copyfile(FROZEN / "recording.h5", top / passed_by / "mouse.h5")
    return top


def found_in(folder: Path) -> dict[str, Entry]:
    return {Path(one.path).relative_to(folder).as_posix(): one for one in find_entries(folder)}


def test_everything_of_ours_is_found_once(tree: Path) -> None:
    found = found_in(tree)
    assert {path: one.kind for path, one in found.items()} == {
        "data/mouse.h5": "recording",
        "models/shared": "shared",
        "runs/a/first": "run",
        "runs/actions": "segmenter",
    }
    assert not any(one.problem for one in found.values())


def test_an_entry_says_what_the_folder_holds(tree: Path) -> None:
    found = found_in(tree)
    run = found["runs/a/first"]
    assert (run.model, run.sessions, run.finished) == ("duet", ("frozen",), True)
    lines = (tree / "runs/a/first/metrics.csv").read_text().splitlines()
    columns = [i for i, name in enumerate(lines[0].split(",")) if name.startswith("valid/")]
    rows = [[float(line.split(",")[i]) for i in columns] for line in lines[1:]]
    assert run.score == pytest.approx(max(sum(row) / len(row) for row in rows))
    files = [p for p in (tree / "runs/a/first").rglob("*") if p.is_file()]
    assert run.bytes == sum(p.stat().st_size for p in files)
    assert found["runs/actions"].model == "tcn"
    assert found["data/mouse.h5"].sessions == ("frozen",)
    assert found["data/mouse.h5"].finished is None
    assert found["models/shared"].sessions == ("frozen",)


def test_the_time_is_that_of_the_newest_file(tree: Path) -> None:
    for path in (tree / "runs" / "actions").iterdir():
        os.utime(path, (0, 1_000_000_000))
    os.utime(tree / "runs" / "actions" / "segmenter.json", (0, 1_000_000_060))
    assert found_in(tree)["runs/actions"].modified[:7] == "2001-09"


def test_a_training_that_has_not_ended_is_not_finished(tree: Path) -> None:
    run = tree / "runs" / "a" / "first"
    (run / "model" / "config.json").unlink()
    one = found_in(tree)["runs/a/first"]
    assert (one.finished, one.sessions) == (False, ("frozen",))
    assert not one.problem
    member = tree / "models" / "shared" / "members" / "01" / "model" / "config.json"
    member.unlink()
    assert found_in(tree)["models/shared"].finished is False


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("runs/a/first/config.yaml", "- a list", "runs/a/first"),
        ("runs/a/first/config.yaml", "training: 3", "runs/a/first"),
        ("runs/a/first/model/config.json", "{", "runs/a/first"),
        ("runs/a/first/metrics.csv", "step,valid/a\n1,much\n", "runs/a/first"),
        ("runs/actions/segmenter.json", "[]", "runs/actions"),
        ("data/mouse.h5", "no HDF5", "data/mouse.h5"),
    ],
)
def test_a_damaged_one_is_listed_with_what_is_wrong_and_hides_no_other(
    name: str, content: str, where: str, tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / name).write_text(content)
    found = found_in(tree)
    assert len(found) == 4
    assert [path for path, one in found.items() if one.problem] == [where]
    assert cli.main(["list", str(tree)]) == 0
    said = capsys.readouterr()
    assert "damaged" in said.out
    assert "cannot be read" in said.err


def test_a_segmenter_without_weights_is_damaged(tree: Path) -> None:
    (tree / "runs" / "actions" / "segmenter.safetensors").unlink()
    assert "no segmenter.safetensors" in found_in(tree)["runs/actions"].problem


def test_a_link_to_another_file_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.attrs["object"] = "Data"
        file["session"] = h5py.ExternalLink(str(FROZEN / "recording.h5"), "/session")
    assert find_entries(tmp_path) == []


def test_kinds_are_told_from_names(tree: Path) -> None:
    assert kind_of(tree / "models" / "shared") == "shared"
    assert kind_of(tree / "settings") is None
    assert kind_of(tree / "nowhere") is None
    with pytest.raises(UserError, match="there is no folder"):
        find_entries(tree / "nowhere")


def test_list_prints_json_and_nothing_else(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tree)
    assert cli.main(["list", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in said] == [
        str(Path(name))
        for name in ("data/mouse.h5", "models/shared", "runs/a/first", "runs/actions")
    ]
    assert said[2]["sessions"] == ["frozen"]
    (tree / "empty").mkdir()
    assert cli.main(["list", "empty"]) == 0
    assert capsys.readouterr().out == (
        "there are no runs, models, segmenters or recordings in empty\n"
    )


def test_list_is_quick_and_loads_no_torch(tree: Path) -> None:
    code = (
        "import sys; from neuroduet.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'lightning', 'pandas', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "list", str(tree)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("data/mouse.h5", {"session": "frozen", "units": 4, "trials": 20}),
        ("runs/actions", {"model": "tcn", "classes": ["left", "right"], "shape": [4]}),
        ("models/shared", {"preset": "duet", "members": 2}),
        ("runs/a/first", {"preset": "duet", "members": 1}),
    ],
)
def test_info_describes_whatever_list_finds(
    name: str, wanted: dict[str, object], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", str(tree / name), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {key: said[key] for key in wanted} == wanted
    assert cli.main(["info", str(tree / name)]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_info_of_a_recording_with_problems_tells_them_and_is_no_success(
    words: list[str], tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(tree / "data" / "mouse.h5", "r+") as file:
        file["units"]["id"][:] = file["units"]["id"][0]
    assert cli.main(["info", str(tree / "data" / "mouse.h5"), *words]) == 2
    said = capsys.readouterr()
    told = json.loads(said.out)["problems"] if words else said.err
    assert "id" in str(told)


def test_info_says_what_it_cannot_describe(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(tree / "data")]) == 2
    assert "`neuroduet list` finds those below a folder" in capsys.readouterr().err


def test_a_long_list_says_how_far_it_is(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("neuroduet.terminal.APPEARS_AFTER_S", 0.0)
    told: list[tuple[int, int]] = []
    found = find_entries(tree, lambda done, total, value: told.append((done, total)))
    assert told == [(done, told[-1][1]) for done in range(1, told[-1][1] + 1)]
    assert len(told) >= len(found) > 0
    assert cli.main(["list", str(tree)]) == 0
    assert "runs and recordings" in capsys.readouterr().err.splitlines()[0]
