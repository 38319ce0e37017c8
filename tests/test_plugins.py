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
    from neuroduet.tasks.run import evaluate
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
    scores = evaluate(run, data, tasks=["encoding"])
    bits = scores[scores.metric == "bits_per_spike"]["value"]
    assert len(bits) == 2
    assert bits.notna().all()
    # In an environment without the package the run says what it lacks.
    monkeypatch.undo()
    forget()
    with pytest.raises(UserError, match="unknown model 'gain'"):
        load_run(run)


@pytest.fixture
def trained_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train a model of one's own on two recordings, of which one has no behaviour."""
    import torch
    from torch import nn

    from neuroduet.config import Config, override
    from neuroduet.data.arrays import from_arrays
    from neuroduet.data.recording import save
    from neuroduet.models import MODELS
    from neuroduet.models.plugin import PluginModel
    from neuroduet.training.fit import train
    from neuroduet.types import Prediction, Scales

    draw = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for name, behaviours in (("a", {"speed": draw.normal(size=(20, 8))}), ("b", {})):
        counts = draw.poisson(1.0, (20, 8, 5))
        made = from_arrays(session_id=name, counts=counts, bin_size_s=0.02, behaviours=behaviours)
        save(made, tmp_path / "data" / f"{name}.h5")

    class Mean(PluginModel):
        """Activity and behaviour as constants."""

        def __init__(self, config, sessions, behaviours=None):
            super().__init__(config, sessions, behaviours)
            self.level = nn.Parameter(torch.zeros(1))
            self.at = nn.ParameterDict()

        def forward(self, batches, visible, prompts=None):
            return [self.answer(batch) for batch in batches]

        def answer(self, batch):
            found = {k: torch.zeros_like(v) + self.level for k, v in batch.behaviours.items()}
            activity = torch.zeros_like(batch.activity) + self.level
            return Prediction(activity=activity, behaviours=found)

        def stitchers(self):
            return []

        def scales(self, session):
            n = len(self.session_infos[session].units)
            known = {b.name: torch.ones(b.size) for b in self.behaviours}
            return Scales(is_poisson=True, activity=torch.ones(n), behaviours=known)

        def unit_embeddings(self, session):
            return torch.zeros(len(self.session_infos[session].units), 1)

    def run(sessions: str, **changes) -> Path:
        monkeypatch.setitem(MODELS, "mine", type("Mine", (Mean,), changes))
        settings = ["model.name=mine", "training.max_steps=2", "training.learning_rate=0.1"]
        config = override(Config(), [*settings, "masking.schemes={decoding: 1, encoding: 1}"])
        return train(config, tmp_path / "data", tmp_path / "run", sessions)

    return run


def test_a_model_by_hand_that_fits_its_description_trains(trained_by_hand) -> None:
    assert (trained_by_hand("a") / "model" / "config.json").is_file()


def no_scales(self, session):
    import torch

    from neuroduet.types import Scales

    n = len(self.session_infos[session].units)
    return Scales(is_poisson=True, activity=torch.ones(n), behaviours={})


def only_behaviour(self, batch):
    import torch

    from neuroduet.types import Prediction

    found = {name: torch.zeros_like(x) for name, x in batch.behaviours.items()}
    return Prediction(activity=None, behaviours=found)


def transposed(self, batch):
    from neuroduet.types import Prediction

    return Prediction(activity=batch.activity.transpose(1, 2))


@pytest.mark.parametrize(
    ("session", "changes", "said"),
    [
        ("a", {"scales": no_scales}, "its scales of 'speed' are missing, expected the standard"),
        ("a", {"scales": lambda self, session: {}}, "scales returned dict, expected Scales"),
        (
            "a",
            {"answer": transposed},
            r"it predicts 'activity' as \(1, 5, 8\), expected \(1, 8, 5\)",
        ),
        ("b", {"answer": only_behaviour}, "it predicts neither the activity nor any behaviour"),
        ("a", {"forward": lambda *given: {}}, "forward returned dict, expected one Prediction"),
    ],
)
def test_a_model_that_does_not_is_refused_by_name_before_training(
    trained_by_hand, tmp_path: Path, session: str, changes, said: str
) -> None:
    with pytest.raises(UserError, match=f"model 'mine' does not fit session '{session}': {said}"):
        trained_by_hand(session, **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        (None, "bool", "scheme 'mine' returned a dict, expected a neuroduet.masking.Drawn"),
        ((3, 14, 1), "bool", r"'mine' hides 'activity' by torch.bool \(3, 14, 1\), expected"),
        ((8,), "bool", r"truth values that spreads over \(3, 8, "),
        ((1, 8, 1), "bool", r"hides 'activity' by torch.bool \(1, 8, 1\)"),
        ((3, 8, 1), "float32", "hides 'activity' by torch.float32"),
    ],
)
def test_a_scheme_that_draws_something_else_is_refused_by_name(
    shape, dtype: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from worlds import make_batch, make_info

    from neuroduet.masking import SCHEMES, Draw, Drawn, draw
    from neuroduet.types import NEURAL

    def mine(batch, how):
        if shape is None:
            return {}
        mask = torch.zeros(shape, dtype=getattr(torch, dtype))
        return Drawn(hidden={NEURAL: mask}, scored={NEURAL: mask})

    monkeypatch.setitem(SCHEMES, "mine", mine)
    batch = make_batch(make_info(), windows=3, bins=8)
    how = Draw(generator=torch.Generator().manual_seed(0))
    with pytest.raises(UserError, match=said):
        draw(batch, {"mine": 1.0}, how)


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
