"""One region alone is visible, and each region has scores of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import CHOICE, WHEEL, Copier, PlantedSession, plant, value

from neuroduet.tasks import TASKS
from neuroduet.tasks.by_region import DecodingByRegion
from neuroduet.tasks.collect import collect, grouped
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.frozen import FrozenReadout
from neuroduet.types import NEURAL, Batch, Masks, Prediction, SessionInfo, UnitQuestions

TASK = DecodingByRegion()
REGIONS = ("V1", "CA1", "CA1", "root", "V1", "CA1", "LP", "CA1", "V1", "CA1", "V1", "V1", " Void ")


def labelled(**settings: object) -> PlantedSession:
    """Thirteen units: five of CA1, five of V1, one of LP, two that nobody has placed."""
    session = plant(units=len(REGIONS), **settings)
    return replace(session, info=replace(session.info, regions=REGIONS))


def test_regions_are_asked_about_in_order_without_small_and_unknown_ones() -> None:
    variants = TASK.variants(labelled(behaviours=(WHEEL, CHOICE)).info)
    assert [v.targets for v in variants] == [
        {"wheel": "wheel@CA1", "choice": "choice@CA1"},
        {"wheel": "wheel@V1", "choice": "choice@V1"},
    ]
    assert all(v.hidden == {"wheel", "choice"} for v in variants)
    assert [np.flatnonzero(v.shown).tolist() for v in variants] == [
        [1, 2, 5, 7, 9],
        [0, 4, 8, 10, 11],
    ]
    assert len(grouped(variants)) == 2, "regions are never merged into one question"


def test_nothing_is_asked_without_regions_or_behaviour() -> None:
    info = labelled().info
    assert TASK.variants(replace(info, regions=None)) == ()
    assert TASK.variants(replace(info, behaviours=())) == ()
    assert TASK.variants(replace(info, regions=("root",) * len(REGIONS))) == ()


def test_exactly_the_units_of_the_region_are_visible_in_valid_bins() -> None:
    session = labelled(ragged=True, missing=0.2)
    batch = session.batch(session.indices("test"))
    for variant, region in zip(TASK.variants(session.info), ("CA1", "V1"), strict=True):
        masks = TASK.masks(batch, variant)
        units = torch.tensor([r == region for r in REGIONS])
        assert masks.visible[NEURAL].shape == batch.activity.shape
        assert torch.equal(masks.visible[NEURAL], batch.valid[:, :, None] & units)
        assert set(masks.scored) == set(batch.observed)
        for name, seen in batch.observed.items():
            assert not masks.visible[name].any()
            assert torch.equal(masks.scored[name], seen)
        assert masks.prompt is None, "the model knows what it was trained to be asked"


def test_a_predictor_that_reads_what_is_hidden_finds_zeros() -> None:
    session, cheat = labelled(behaviours=(WHEEL,)), Copier()
    batch = session.batch(session.indices("test"))
    variants = TASK.variants(session.info)
    for variant in variants:
        found = collect(cheat, [batch], TASK, [variant])["wheel"]
        assert not found.predicted.any()
    for seen, variant in zip(cheat.seen, variants, strict=True):
        units = torch.tensor(variant.shown)
        assert not seen.activity[:, :, ~units].any()
        assert torch.equal(seen.activity[:, :, units], batch.activity[:, :, units])
        assert not seen.observed["wheel"].any()


class Identity:
    """A frozen model that passes on the activity it sees."""

    name = "identity"

    def __init__(self, info: SessionInfo) -> None:
        self.sessions = [info]

    def embeddings(self) -> dict[str, np.ndarray]:
        return {}

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        return Prediction(activity=None)

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> None:
        return None

    def features(self, batch: Batch, masks: Masks) -> torch.Tensor:
        return batch.activity.clone()


def test_only_the_region_that_carries_the_signal_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, TASK.name, TASK)
    session = labelled(windows=160, behaviours=(WHEEL, CHOICE))
    ca1 = session.activity[:, :, [r == "CA1" for r in REGIONS]]
    session.behaviours["wheel"] = ca1.sum(axis=2, keepdims=True).astype(np.float32)
    drive = ca1[:, :, 0].sum(axis=1)
    session.behaviours["choice"] = (drive > np.median(drive)).astype(np.int64)
    found = score_predictors(
        [FrozenReadout(Identity(session.info), [session])], [session], [TASK.name]
    )
    assert {s.target for s in found.scores} == {
        f"{name}@{region}" for name in ("wheel", "choice") for region in ("CA1", "V1")
    }
    assert value(found.scores, target="wheel@CA1", metric="r2") > 0.99
    assert abs(value(found.scores, target="wheel@V1", metric="r2")) < 0.1
    # 80 test trials: the standard error of chance is 0.06.
    assert value(found.scores, target="choice@CA1", metric="balanced_accuracy") > 0.85
    assert value(found.scores, target="choice@V1", metric="balanced_accuracy") < 0.7


@pytest.mark.parametrize(
    ("behaviours", "reason"),
    [(None, "it does not name the regions of its units"), ((), "it has no behaviour")],
)
def test_a_session_that_cannot_be_asked_says_why(
    behaviours, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = plant(**({} if behaviours is None else {"behaviours": behaviours}))
    session = replace(session, info=replace(session.info, regions=None))
    assert score_predictors([Copier()], [session], [TASK.name]).scores == []
    (said,) = [r.getMessage() for r in caplog.records]
    assert said.startswith(f"session 'mouse/1' is not scored in decoding_by_region: {reason}")
