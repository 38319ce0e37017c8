"""What a command refuses leaves nothing behind: no folder, no part of a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from neuroduet import cli

FROZEN = Path(__file__).parent / "frozen" / "v1"

FOREST = "--features kinematics --pool 1 --smooth 1"

REFUSED = [
    "simulate {out} --sessions 1 --size tiny --seed -1",
    "simulate {films}",
    "train --data {data} --out {out} --sessions nobody",
    "train --data {data} --out {out} --set model.name=nobody",
    "train --data {data} --out {out} --set data.windows.align=continuous "
    "data.windows.length_s=9e4",
    "train --data {data} --out {out} --set masking.schemes={{}}",
    "train --data {films} --out {out}",
    "finetune {run} --data {data} --out {out} --sessions nobody",
    "finetune {run} --data {data} --out {out} --set model.width=64",
    "finetune {run} --data {films} --out {out}",
    "search --data {data} --out {out} --trials 1 --sessions nobody",
    "search --data {films} --out {out} --trials 1",
    "crossval --data {data} --out {out} --sessions nobody",
    "crossval --data {data} --out {out} --tasks nothing",
    "crossval --data {films} --out {out}",
    "evaluate {run} --data {films} --out {out}/scores.csv",
    "evaluate {run} --data {data} --tasks nothing --out {out}/scores.csv",
    "baselines --data {films} --out {out}/baselines.csv",
    "predict {run} --data {films} --out {out}",
    "embed {run} --out {out}/units.pkl",
    "report {run} --out {out}/page.html --scores {films}/x.npz",
    "report {films} --out {out}/page.html",
    "export {films} --to nwb --out {out}",
    "export {run} --data {films} --to nwb --out {out}",
    "share {films} --out {out}",
    "ingest {films} {out}",
    "ingest {films} {out} --npz --mapping {films}/x.npz",
    "benchmark --data {data} --suite ts2 --out {out}",
    "submit {run} --suite ts2 --data {films} --label ours --out {out}/ours.zip",
    "actions train --data {films} --out {out} --model nobody",
    "actions train --data {films} --out {out} --model random_forest --recordings nobody",
    "actions train --data {films} --out {out} --model hmm --set iterations=0",
    "actions compare --data {films} --out {out} --models random_forest --folds 9 " + FOREST,
    "actions compare --data {films} --out {out} --models nobody",
    "actions compare --data {films} --out {out} --models hmm --features nothing",
    "actions density --data {films} --out {out} --models random_forest --test nobody " + FOREST,
    "actions density --data {films} --out {out} --models nobody",
    "actions predict {run} --data {films} --out {out}",
    "actions predict {model} --data {other} --out {out}",
    "actions suggest {model} --data {other} --out {out}/next.csv",
    "actions import --pose {films}/x.npz --rate 25 --out {out}/x.h5",
]
"""Lines that are refused, most of them late: for what is in the files, not for how they read."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run, features of two films with labels, and features of another kind."""
    folder = tmp_path_factory.mktemp("places")
    found = {name: folder / name for name in ("run", "films", "other", "model")}
    shutil.copytree(FROZEN / "ensemble" / "members" / "00", found["run"])
    generator = np.random.default_rng(0)
    for name, width in {"films": 3, "other": 5}.items():
        found[name].mkdir()
        for film in "xy":
            values = generator.normal(size=(90, width))
            np.savez(found[name] / f"{film}.npz", features=values, labels=np.arange(90) // 9 % 2)
    line = f"actions train --data {found['films']} --out {found['model']} --model random_forest"
    assert cli.main([*line.split(), "--set", "trees=3", "--json"]) == 0
    return found | {"data": FROZEN / "recording.h5"}


@pytest.mark.parametrize("line", REFUSED)
def test_a_command_that_refuses_leaves_nothing_behind(
    line: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in places["run"].rglob("*") if path.is_file()}
    words = [word.format(out=tmp_path / "a" / "b", **places) for word in line.split()]
    (tmp_path / "a").mkdir()
    assert cli.main(words) == 2, capsys.readouterr()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a"]
    assert before == {path: path.read_bytes() for path in before}
    assert len(before) == sum(path.is_file() for path in places["run"].rglob("*"))
