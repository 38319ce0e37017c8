from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroduet.config import Config, override

SMALL = ["model.width=16", "model.heads=2", "model.layers=1", "training.max_steps=3"]


def test_the_example_of_the_readme_runs(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is written, but for a model and a budget that suit a test."""
    (code,) = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    assert len(code.strip().splitlines()) <= 16
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    np.save("counts.npy", rng.poisson(0.5, (40, 20, 6)))
    np.save("wheel.npy", rng.normal(size=(40, 20)))
    np.save("choice.npy", rng.choice([-1, 1], 40))
    names: dict[str, Any] = {"small": override(Config(), SMALL)}
    exec(code.replace("duet(), data", "small, data"), names)
    assert {"encoding", "decoding"} <= set(names["scores"]["task"])
    assert Path("runs/mouse1/scores.csv").is_file()
    assert Path("runs/mouse1/model/model.safetensors").is_file()
