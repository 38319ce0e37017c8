"""Spoilt runs, segmenters and submissions, and files that would like to be more than numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cage import Cage
from fuzzing import require_calm

NAMES = (
    "run", "segmenter-arhmm", "segmenter-forest", "segmenter-tcn", "segmenter-slds", "submission",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_spoilt_model_is_loaded_or_refused_in_one_sentence(cage: Cage, name: str) -> None:
    require_calm(cage, name)


@pytest.fixture
def run(cage: Cage, tmp_path: Path) -> Path:
    """A copy of a finished run; the folder that holds it is the specimen."""
    shutil.copytree(cage.specimen("run") / "run", tmp_path / "run")
    return tmp_path / "run"


def change(run: Path, **values: object) -> None:
    path = run / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_weights_are_read_from_the_folder_of_the_run_alone(cage: Cage, run: Path) -> None:
    (run.parent / "outside.safetensors").write_bytes(
        (run / "model" / "model.safetensors").read_bytes()
    )
    change(run, best={"mean": "../../outside.safetensors"})
    outcome = cage.read("run", run.parent)
    assert outcome.kind == "refused"
    assert "no weights at" in outcome.said
    assert not outcome.events


@pytest.mark.parametrize("place", ["/etc/passwd", "..", "", ".", "\0", "a" * 5000])
def test_weights_named_after_other_places_are_refused(cage: Cage, run: Path, place: str) -> None:
    change(run, best={"mean": place})
    outcome = cage.read("run", run.parent)
    assert outcome.kind == "refused"
    assert not outcome.events


def test_a_model_larger_than_its_weights_is_refused_before_it_is_built(
    cage: Cage, run: Path
) -> None:
    description = json.loads((run / "model" / "config.json").read_text())
    for key, value in (("width", 2**20), ("feed_forward", 2**34), ("layers", 10**9)):
        config = json.loads(json.dumps(description["config"]))
        config["model"][key] = value
        change(run, config=config)
        outcome = cage.read("run", run.parent)
        assert outcome.kind == "refused", (key, outcome)
        assert "fit" in outcome.said
