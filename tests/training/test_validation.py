"""Scores on validation windows: which targets have one, and that chance has no part in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import checkpoint, same, tiny, write_recording
from torch import nn

from neuroduet.config import MaskingConfig
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import Session, open_sessions
from neuroduet.masking import PROMPTS, SCHEMES, Draw, draw, region_index
from neuroduet.masking.activity import usual_horizon
from neuroduet.models import build, set_up_session
from neuroduet.training.fit import train
from neuroduet.training.state import MEAN, Progress
from neuroduet.training.validation import mean_scores, scores_decoding, session_scores
from neuroduet.types import NEURAL, Batch, Masks, Prediction

CPU = torch.device("cpu")
BEHAVIOURS = {"wheel", "whisker", "choice", "block"}


@pytest.fixture(scope="module")
def sessions(data: Path) -> list[Session]:
    return open_sessions(data, tiny().data)


def masking(**schemes: float) -> MaskingConfig:
    return MaskingConfig(schemes=schemes)


def model_of(sessions: list[Session], *settings: str) -> nn.Module:
    torch.manual_seed(0)
    model = build(tiny(*settings).model, [session.info for session in sessions])
    for session in sessions:
        set_up_session(model, session)
    return model.eval()


def validate(model: nn.Module, sessions: list[Session], masking: MaskingConfig):
    """Mean scores, as training takes them."""
    return mean_scores([session_scores(model, s, CPU, masking) for s in sessions])


class Asked(nn.Module):
    """Expects of every unit what it sees of all units in a window; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[tuple[Batch, Masks]] = []

    def forward(self, batches, visible, prompts):
        (batch,), (seen,), (prompt,) = batches, visible, prompts
        self.questions.append((batch, Masks(visible=seen, scored={}, prompt=prompt)))
        shown = batch.activity * seen[NEURAL]
        rates = 0.05 + shown.mean((1, 2), keepdim=True)
        return [Prediction(activity=rates.log().expand(batch.activity.shape))]


@pytest.mark.parametrize(
    ("schemes", "targets"),
    [
        ({"encoding": 1.0}, {NEURAL}),
        ({"encoding": 1.0, "neuron": 0.0}, {NEURAL}),
        ({"encoding": 1.0, "decoding": 0.5}, {NEURAL} | BEHAVIOURS),
        ({"neuron": 1.0}, {"co_smoothing"} | BEHAVIOURS),
        ({"co_smooth": 1.0}, {"co_smoothing"} | BEHAVIOURS),
        ({"causal": 1.0}, {"forward"}),
        ({"forward": 2.0, "self_spike": 1.0}, {NEURAL, "forward"}),
        (
            {"intra_region": 1.0, "inter_region": 0.5},
            {"intra_region", "inter_region"} | BEHAVIOURS,
        ),
    ],
)
def test_only_what_is_trained_is_scored(
    sessions: list[Session], schemes: dict[str, float], targets: set[str]
) -> None:
    model = model_of(sessions)
    scores = validate(model, sessions, masking=masking(**schemes))
    assert set(scores) == targets
    alone = model_of(sessions, "model.behaviours=false", "model.prompts=true")
    found = set(validate(alone, sessions, masking=masking(**schemes)))
    assert found >= targets - BEHAVIOURS


def test_sessions_without_regions_have_no_part_in_scores_of_regions(tmp_path: Path) -> None:
    sessions = open_sessions(write_recording(tmp_path, "s"), tiny().data)
    both = masking(neuron=1.0, intra_region=1.0, inter_region=1.0)
    assert set(validate(Asked(), sessions, masking=both)) == {"co_smoothing"}


def test_equal_weights_have_equal_scores_and_no_random_number_is_used(
    sessions: list[Session],
) -> None:
    every = masking(neuron=1.0, forward=1.0, intra_region=1.0, inter_region=1.0, encoding=1.0)
    model = model_of(sessions)
    torch.manual_seed(1)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = validate(model, sessions, masking=every)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    torch.manual_seed(2)
    assert validate(model, sessions, masking=every) == first


def test_masks_are_the_same_at_every_validation_and_differ_within_one(
    sessions: list[Session],
) -> None:
    model, schemes = Asked(), masking(neuron=1.0)
    for _ in range(2):
        validate(model, sessions[:1], masking=schemes)
    seen = [masks.visible[NEURAL] for _, masks in model.questions if masks.prompt is not None]
    half = len(seen) // 2
    assert half > 1  # the windows are asked about more than once
    assert all(torch.equal(x, y) for x, y in zip(seen[:half], seen[half:], strict=True))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0][0], seen[0][1])


def test_validations_do_not_change_what_is_trained(data: Path, tmp_path: Path) -> None:
    often, once = (
        train(
            tiny("training.max_steps=4", f"training.validate_every={every}"),
            data,
            tmp_path / str(every),
        )
        for every in (1, 4)
    )
    assert same(checkpoint(often)[0], checkpoint(once)[0])


@pytest.mark.parametrize(
    ("scheme", "target"),
    [
        ("neuron", "co_smoothing"),
        ("co_smooth", "co_smoothing"),
        ("forward", "forward"),
        ("causal", "forward"),
        ("inter_region", "inter_region"),
        ("intra_region", "intra_region"),
        ("temporal", "temporal"),
        ("random", "random"),
    ],
)
def test_a_score_is_the_mean_bits_per_spike_of_what_was_hidden(
    sessions: list[Session], scheme: str, target: str
) -> None:
    session, model = sessions[0], Asked()
    found = validate(model, [session], masking=masking(**{scheme: 1.0}))[target]
    asked = [(b, m) for b, m in model.questions if m.prompt is not None]
    regions = region_index(session.info.regions)
    true, expected, scored = [], [], []
    for batch, masks in asked:
        assert (masks.prompt == PROMPTS.index(scheme)).all()
        assert not any(x.any() for name, x in masks.visible.items() if name != NEURAL)
        shape = batch.activity.shape
        seen, valid = masks.visible[NEURAL].expand(shape), batch.valid[..., None].expand(shape)
        hidden = valid & ~seen
        if scheme == "intra_region":
            # Asked about are the hidden units of the region that is seen.
            for row in range(len(hidden)):
                (area,) = set(regions[seen[row].any(0)].tolist())
                hidden[row] &= regions == area
        if target == "forward":
            late = torch.arange(shape[1]) >= shape[1] - usual_horizon(shape[1])
            assert torch.equal(hidden, late[None, :, None].expand(shape))
        shown = (batch.activity * seen).mean((1, 2), keepdim=True).expand(shape)
        true.append(batch.activity.double().numpy())
        expected.append(0.05 + shown.double().numpy())
        scored.append(hidden.numpy())
    gained, spikes = 0.0, 0.0
    for unit in range(len(session.info.units)):
        chosen = np.concatenate([x[:, :, unit] for x in scored])
        counts = np.concatenate([x[:, :, unit] for x in true])[chosen]
        rates = np.concatenate([x[:, :, unit] for x in expected])[chosen]
        if counts.sum() > 0:
            gained += counts @ np.log(rates / counts.mean()) - (rates - counts.mean()).sum()
            spikes += counts.sum()
    assert spikes > 3
    assert found == pytest.approx(gained / spikes / np.log(2), rel=1e-4)


class Odd(nn.Module):
    """Knows the true value of odd bins, and says 0 in even ones."""

    def forward(self, batches, visible, prompts):
        odd = torch.arange(batches[0].activity.shape[1])[:, None] % 2
        return [Prediction(activity=batches[0].activity * odd)]


def test_traces_are_scored_by_r2(tmp_path: Path) -> None:
    traces = np.random.default_rng(0).normal(1.0, 2.0, size=(10, 30, 4))
    traces[..., 3] = 1.0  # does not vary and has no score
    split = ["train"] * 6 + ["valid"] * 4
    recording = from_arrays(
        session_id="s",
        traces=traces,
        bin_size_s=0.05,
        behaviours={"speed": traces[..., :1]},
        split=split,
    )
    save(recording, tmp_path / "s.h5")
    (session,) = open_sessions(tmp_path, tiny().data)
    found = validate(Odd(), [session], masking=masking(forward=1.0))
    horizon = usual_horizon(30)
    late = traces[6:, 30 - horizon :, :3]
    missed = late[:, np.arange(30 - horizon, 30) % 2 == 0]
    total = ((late - late.mean((0, 1))) ** 2).sum((0, 1))
    expected = (1 - (missed**2).sum((0, 1)) / total).mean()
    assert found == {"forward": pytest.approx(expected, rel=1e-4)}


def trace_session(folder: Path, traces: np.ndarray, behaviour: np.ndarray) -> Session:
    """Sixteen windows of traces, the last eight of which are validated."""
    recording = from_arrays(
        session_id="s",
        traces=traces,
        bin_size_s=0.05,
        behaviours={"speed": behaviour},
        split=["train"] * 8 + ["valid"] * 8,
    )
    save(recording, folder / "s.h5")
    (session,) = open_sessions(folder, tiny().data)
    return session


class Constant(nn.Module):
    """Expects the same of a unit, and of a behaviour's channels, in every bin."""

    def __init__(self, activity: np.ndarray, speed: np.ndarray) -> None:
        super().__init__()
        self.activity, self.speed = (torch.as_tensor(x).float() for x in (activity, speed))

    def forward(self, batches, visible, prompts):
        shape = batches[0].activity.shape[:2]
        speed = self.speed.expand(*shape, -1)
        return [Prediction(activity=self.activity.expand(*shape, -1), behaviours={"speed": speed})]


def test_knowing_which_traces_are_high_is_no_score_of_encoding(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(16, 30, 3))
    traces = noise + np.array([0.0, 50.0, 200.0])
    session = trace_session(tmp_path, traces, noise[..., :1])
    mean = traces[8:].mean((0, 1))
    found = validate(Constant(mean, np.zeros(1)), [session], masking(encoding=1.0))
    assert found[NEURAL] == pytest.approx(0.0, abs=1e-3)


def test_a_channel_that_rests_in_validation_windows_does_not_silence_the_others(
    tmp_path: Path,
) -> None:
    speed = np.random.default_rng(0).normal(size=(16, 30, 2))
    speed[8:, :, 1] = 3.0
    session = trace_session(tmp_path, speed.repeat(2, axis=2), speed)
    model = Constant(np.zeros(4), speed[8:].mean((0, 1)))
    found = validate(model, [session], masking(decoding=1.0))
    assert found["speed"] == pytest.approx(0.0, abs=1e-3)


class Wild(nn.Module):
    """Expects so many spikes that a single-precision number cannot hold them."""

    def forward(self, batches, visible, prompts):
        (batch,) = batches
        return [Prediction(activity=torch.full_like(batch.activity, 1e3))]


def test_a_hopeless_score_counts_instead_of_being_left_out(sessions: list[Session]) -> None:
    wild = session_scores(Wild(), sessions[0], CPU, masking(encoding=1.0, neuron=1.0))
    assert wild.keys() == {NEURAL, "co_smoothing"}
    assert all(math.isfinite(value) and value < -1e6 for value in wild.values())
    good = session_scores(model_of(sessions), sessions[0], CPU, masking(encoding=1.0, neuron=1.0))
    progress = Progress()
    assert MEAN in progress.record(good)
    assert MEAN not in progress.record(good | wild)


def test_behaviours_are_scored_under_the_schemes_that_ask_about_them(
    sessions: list[Session],
) -> None:
    batch = sessions[0].batch(np.arange(8))
    regions = region_index(sessions[0].info.regions)
    for name in SCHEMES:
        source = Draw(generator=torch.Generator().manual_seed(3), regions=regions)
        masks = draw(batch, {name: 1.0}, source)
        asks = any(bool(masks.scored[each].any()) for each in batch.behaviours)
        assert scores_decoding(masking(**{name: 1.0})) == asks, name


def test_a_class_is_scored_by_the_share_of_the_priors_surprise_that_is_explained(
    sessions: list[Session],
) -> None:
    class Says(nn.Module):
        def __init__(self, logits: Callable[[Batch], torch.Tensor]) -> None:
            super().__init__()
            self.logits = logits

        def forward(self, batches, visible, prompts):
            return [Prediction(activity=None, behaviours={"choice": self.logits(batches[0])})]

    def score(logits: Callable[[Batch], torch.Tensor]) -> float:
        return validate(Says(logits), sessions[:1], masking(decoding=1.0))["choice"]

    counts = torch.as_tensor(sessions[0].statistics.class_counts["choice"]).float() + 1.0
    assert score(lambda batch: counts.log().expand(len(batch.windows), -1)) == 0.0
    sure = torch.eye(len(counts)) * 100.0
    assert score(lambda batch: sure[batch.behaviours["choice"].clamp(min=0)]) == 1.0
    assert score(lambda batch: -sure[batch.behaviours["choice"].clamp(min=0)]) < -1.0
