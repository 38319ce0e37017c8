"""Models and readers of other packages, found through the metadata of a made-up one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from neuroduet import plugins
from neuroduet.errors import UserError
from neuroduet.plugins import all_names, find_plugin

MODEL = '''
from __future__ import annotations

import torch
from torch import nn

from neuroduet.models.plugin import PluginModel
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL, Prediction, Scales


class Gain(PluginModel):
    """Log-rates that are linear in what is visible of the wheel; the slope is shared."""

    def __init__(self, config, sessions, behaviours=None):
        super().__init__(config, sessions, behaviours)
        self.slope = nn.Parameter(torch.zeros(1))
        self.shift = nn.ParameterDict(
            {module_key(i.id): nn.Parameter(torch.zeros(len(i.units))) for i in sessions}
        )
        self.register_buffer("heard", torch.zeros(len(sessions)))

    def set_up_session(self, session):
        self.heard[list(self.session_infos).index(session.info.id)] = 1

    def forward(self, batches, visible, prompts=None):
        return [self._read(b, v) for b, v in zip(batches, visible, strict=True)]

    def _read(self, batch, visible):
        wheel = torch.where(visible["wheel"][..., None], batch.behaviours["wheel"], 0.0)
        activity = self.slope * wheel + self.shift[module_key(batch.session)] - 3
        return Prediction(activity=activity, behaviours={})

    def stitchers(self):
        return list(self.shift.parameters())

    def scales(self, session):
        n = len(self.session_infos[session].units)
        continuous = {b.name: torch.ones(b.size) for b in self.behaviours
                      if b.kind == "continuous"}
        return Scales(is_poisson=True, activity=torch.ones(n), behaviours=continuous)

    def unit_embeddings(self, session):
        return self.shift[module_key(session)].detach()[:, None]


class NoModel:
    pass
'''

READER = '''
from __future__ import annotations

from pathlib import Path

import numpy as np

from neuroduet.data.arrays import from_arrays
from neuroduet.data.readers.reader import Found


class Dots:
    """A file of lines; every dot is a spike."""

    name = "dots"

    def recognises(self, path: Path) -> bool:
        return path.suffix == ".dots"

    def sessions(self, path: Path):
        return [path]

    def inspect(self, path: Path, options) -> Found:
        return Found(source=str(path), session=path.stem, items={"units": "1"})

    def read(self, path: Path, options):
        counts = np.array([[letter == "."] for letter in path.read_text().strip()], dtype=int)
        return from_arrays(session_id=path.stem, counts=counts, bin_size_s=0.1)
'''

SCHEME = """
import torch

from neuroduet.masking.drawing import Drawn
from neuroduet.types import NEURAL


def first_half(batch, draw):
    bins = batch.activity.shape[1]
    hidden = (torch.arange(bins) < bins // 2)[None, :, None].expand(len(batch.windows), -1, 1)
    return Drawn(hidden={NEURAL: hidden}, scored={NEURAL: hidden})
"""

ENTRIES = """[neuroduet.models]
gain = other_lab.model:Gain
no_model = other_lab.model:NoModel
broken = other_lab.broken:Anything
gone = other_lab.model:Missing
translator = other_lab.model:Gain

[neuroduet.schemes]
first_half = other_lab.scheme:first_half
no_scheme = other_lab.scheme:NEURAL

[neuroduet.readers]
dots = other_lab.reader:Dots
not_a_reader = other_lab.model:NoModel
nwb = other_lab.reader:Dots
"""


@pytest.fixture
def other_lab(tmp_path: Path) -> Path:
    """A folder with an installed package, as pip leaves it."""
    site = tmp_path / "site"
    package = site / "other_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text(MODEL)
    (package / "reader.py").write_text(READER)
    (package / "scheme.py").write_text(SCHEME)
    (package / "broken.py").write_text("raise RuntimeError('no compiler\\nhere')\n")
    metadata = site / "other_lab-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-lab\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    return site


@pytest.fixture
def installed(other_lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same package, on the path of this process."""
    monkeypatch.syspath_prepend(str(other_lab))
    forget()
    yield other_lab
    forget()
    for name in [name for name in sys.modules if name.split(".")[0] == "other_lab"]:
        del sys.modules[name]


def forget() -> None:
    plugins._declared.cache_clear()
    plugins._loaded.cache_clear()


def test_names_are_listed_without_importing_anything(installed: Path) -> None:
    assert all_names("neuroduet.models", ["translator"]) == [
        *("translator", "broken", "gain", "gone", "no_model")
    ]
    assert "other_lab" not in sys.modules


def test_a_plugin_is_imported_when_its_name_is_asked(installed: Path) -> None:
    found = find_plugin("neuroduet.models", "model", "gain", ["translator"])
    assert found.__name__ == "Gain"
    with pytest.raises(UserError, match="unknown model 'unheard_of'"):
        find_plugin("neuroduet.models", "model", "unheard_of", [])


def test_of_equal_names_ours_wins_and_a_sentence_says_so(
    installed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from neuroduet.config import ModelConfig
    from neuroduet.models import MODELS, Translator, build

    with caplog.at_level(logging.WARNING, "neuroduet"):
        for _ in range(2):
            assert all_names("neuroduet.models", MODELS).count("translator") == 1
    (said,) = [r.getMessage() for r in caplog.records]
    assert "other_lab.model:Gain" in said
    assert "'translator' is already a name of neuroduet itself" in said
    assert type(build(ModelConfig(name="translator"), [])) is Translator


@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "RuntimeError: no compiler here"), ("gone", "AttributeError")]
)
def test_what_cannot_be_imported_is_one_warning_and_an_unknown_name(
    name: str, reason: str, installed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from neuroduet.config import ModelConfig
    from neuroduet.models import build

    for _ in range(2):
        with pytest.raises(UserError, match=f"unknown model '{name}'.*gain"):
            build(ModelConfig(name=name), [])
    said = [r.getMessage() for r in caplog.records if name in r.getMessage()]
    assert len(said) == 1
    assert reason in said[0]
    assert "\n" not in said[0]


def test_a_class_that_is_no_model_is_refused(installed: Path) -> None:
    from neuroduet.config import ModelConfig
    from neuroduet.models import build

    with pytest.raises(UserError, match="expected a class derived from"):
        build(ModelConfig(name="no_model"), [])


def test_a_reader_of_another_package_recognises_its_files(installed: Path) -> None:
    from neuroduet.data.readers import reader_names, reader_of
    from neuroduet.data.readers.reader import ReadOptions
    from neuroduet.data.recording import load
    from neuroduet.ingest import choose_reader, ingest, plan

    source = installed / "mouse.dots"
    source.write_text("..-.-" * 40)
    assert reader_names()[-2:] == ["dots", "not_a_reader"]
    assert choose_reader(source).name == "dots"
    jobs = plan({source: None}, installed / "out", ReadOptions())
    (outcome,) = ingest(jobs)
    assert (outcome.status, outcome.session) == ("written", "mouse")
    recording = load(outcome.path, lazy=False)
    counts = np.asarray(recording.counts.values)
    assert counts.sum() == 120
    with pytest.raises(UserError, match="unknown format 'dosts'; did you mean 'dots'"):
        reader_of("dosts")
    with pytest.raises(UserError, match="is no reader of that name"):
        reader_of("not_a_reader")


def test_ours_are_asked_first_and_others_are_then_not_imported(installed: Path) -> None:
    from neuroduet.ingest import choose_reader
    from neuroduet.simulate import simulate

    simulate(out=installed / "data", sessions=1, seed=0, size="tiny")
    assert choose_reader(next((installed / "data").glob("*.h5"))).name == "brainsets"
    assert "other_lab" not in sys.modules


def test_a_masking_scheme_of_another_package_is_drawn(installed: Path) -> None:
    import torch
    from worlds import make_batch, make_info

    from neuroduet.masking import Draw, draw, drawable
    from neuroduet.types import NEURAL

    batch = make_batch(make_info(), windows=3, bins=8)
    how = Draw(ratio=0.3, generator=torch.Generator().manual_seed(0))
    masks = draw(batch, {"first_half": 1.0}, how)
    wanted = (torch.arange(8) < 4)[None, :, None].expand_as(masks.scored[NEURAL])
    assert torch.equal(masks.scored[NEURAL], wanted)
    assert torch.equal(masks.visible[NEURAL], ~wanted)
    with pytest.raises(UserError, match="did you mean 'first_half'"):
        drawable({"frist_half": 1.0}, False)
    with pytest.raises(UserError, match="is no masking scheme but"):
        drawable({"no_scheme": 1.0}, False)


def test_a_model_of_another_package_trains_predicts_and_scores(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuroduet.config import Config, override
    from neuroduet.simulate import simulate
    from neuroduet.tasks.run import evaluate_run
    from neuroduet.training.fit import train
    from neuroduet.training.runs import load_run

    data = tmp_path / "data"
    simulate(out=data, sessions=2, seed=0, size="tiny")
    settings = ["model.name=gain", "training.max_steps=10", "training.learning_rate=0.1"]
    schemes = "masking.schemes={encoding: 1}"
    run = train(override(Config(), [*settings, schemes]), data, tmp_path / "run")
    found = load_run(run)
    assert type(found.model).__name__ == "Gain"
    assert found.model.heard.tolist() == [1, 1]  # set up from both sessions
    assert found.best["mean"]["slope"] != 0
    scores = evaluate_run(run, data, tasks=["encoding"])
    bits = scores[scores.metric == "bits_per_spike"]["value"]
    assert len(bits) == 2
    assert bits.notna().all()
    # In an environment without the package the run says what it lacks.
    monkeypatch.undo()
    forget()
    with pytest.raises(UserError, match="unknown model 'gain'"):
        load_run(run)


def test_the_program_finds_a_plugin_that_is_installed_beside_it(
    tmp_path: Path, other_lab: Path
) -> None:
    source = tmp_path / "mouse.dots"
    source.write_text("..-.-" * 40)
    found = subprocess.run(
        [sys.executable, "-m", "neuroduet", "ingest", str(source), str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(other_lab)},
    )
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "mouse.h5").is_file()
