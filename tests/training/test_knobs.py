"""Every setting of training, masking and loss changes something: there is no dead knob."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import checkpoint, metrics, model_weights, tiny

from neuroduet.config import LossConfig, MaskingConfig, TrainingConfig
from neuroduet.training.fit import train

STALLED = ["training.learning_rate=1e-30", "training.validate_every=1"]
"""A run that improves nothing after its first validation."""

PUBLISHED = ["model.name=neds_published", "loss.kind=published"]

KNOBS: dict[str, tuple[list[str], str, str]] = {
    # name: (settings of both runs, changed value, what must differ)
    "training.seed": ([], "1", "weights"),
    "training.max_epochs": ([], "2", "steps"),
    "training.max_steps": ([], "2", "steps"),
    "training.max_minutes": ([], "1e-9", "steps"),
    "training.batch_size": ([], "4", "steps"),
    "training.sessions_per_batch": ([], "2", "weights"),
    "training.learning_rate": ([], "0.01", "weights"),
    "training.weight_decay": ([], "0.9", "weights"),
    "training.betas": ([], "[0.5, 0.98]", "weights"),
    "training.warmup": ([], "0.6", "weights"),
    "training.div_factor": ([], "2", "weights"),
    "training.final_div_factor": ([], "1", "weights"),
    "training.cycle_momentum": ([], "true", "weights"),
    "training.clip": ([], "null", "weights"),
    "training.ema": ([], "0", "kept"),
    "training.validate_every": ([], "2", "rows"),
    "training.patience": (STALLED, "1", "steps"),
    "training.select": ([], "mean", "files"),
    "training.precision": ([], "bf16", "weights"),
    "training.threads": (["training.max_steps=1"], "2", "threads"),
    "training.finetune": ([], "probe", "weights"),
    "masking.schemes": ([], "{encoding: 1.0}", "weights"),
    "masking.ratio": ([], "0.9", "weights"),
    "masking.unit_ratio": (["masking.schemes={neuron: 1.0}"], "0.6", "weights"),
    "masking.hide_visible": ([], "0.5", "weights"),
    "masking.per": ([], "batch", "weights"),
    "masking.keep": ([], "0.5", "weights"),
    "masking.random": ([], "0.5", "weights"),
    "masking.kind": (PUBLISHED, "published", "weights"),
    "loss.activity": ([], "0.1", "weights"),
    "loss.activity_unit": ([], "entry", "weights"),
    "loss.unit_balance": ([], "1.0", "weights"),
    "loss.continuous": ([], "10", "weights"),
    "loss.categorical": ([], "10", "weights"),
    "loss.label_smoothing": ([], "0.5", "weights"),
    "loss.kind": ([], "published", "weights"),
}

ELSEWHERE = {
    "training.workers": "test_ranks.py shows that they change nothing but the waiting",
    "training.members": "test_ensemble.py trains two members in processes of their own",
    "training.device": "a machine without a GPU computes the same for auto and cpu",
}


def seen(run: Path) -> dict[str, object]:
    """All that a setting may change, as comparable values."""
    tensors, notes = checkpoint(run)
    return {
        "weights": {k: x.tolist() for k, x in tensors.items() if k.startswith("model/")},
        "kept": {k: x.tolist() for k, x in model_weights(run).items()},
        "steps": notes["step"],
        "rows": len(metrics(run)),
        "files": sorted(p.name for p in (run / "model").iterdir()),
        "threads": json.loads((run / "env.json").read_text())["threads"],
    }


@pytest.fixture(scope="module")
def unchanged(data: Path, tmp_path_factory: pytest.TempPathFactory):
    """What runs without the change look like, each trained once."""
    found: dict[str, dict] = {}

    def look(settings: list[str]) -> dict[str, object]:
        key = " ".join(settings)
        if key not in found:
            out = tmp_path_factory.mktemp("runs") / "run"
            found[key] = seen(train(tiny(*settings), data, out))
        return found[key]

    return look


def test_every_setting_is_looked_at() -> None:
    sections = {"training": TrainingConfig, "masking": MaskingConfig, "loss": LossConfig}
    names = {f"{key}.{name}" for key, section in sections.items() for name in section.model_fields}
    assert names == KNOBS.keys() | ELSEWHERE.keys()


@pytest.mark.parametrize("name", KNOBS)
def test_a_setting_changes_what_it_should(data: Path, tmp_path: Path, unchanged, name) -> None:
    settings, value, what = KNOBS[name]
    run = train(tiny(*settings, f"{name}={value}"), data, tmp_path / "run")
    assert seen(run)[what] != unchanged(settings)[what]
