"""Parts of one question are merged before they are scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import Copier, plant

from neuroduet.masking import hide, to_masks
from neuroduet.tasks.collect import blinded, collect, grouped
from neuroduet.tasks.scoring import score_activity
from neuroduet.tasks.task import Variant
from neuroduet.types import NEURAL, Batch, Masks, Prediction, SessionInfo


class Halves:
    """Hides even units, then odd units, as a co-smoothing task would."""

    name: str = "halves"
    oracle: str | None = None

    def variants(self, info: SessionInfo) -> tuple[Variant, ...]:
        return tuple(
            Variant(hidden=frozenset({part}), targets={NEURAL: "units"})
            for part in ("even", "odd")
        )

    def masks(self, batch: Batch, variant: Variant) -> Masks:
        first = 0 if "even" in variant.hidden else 1
        units = torch.zeros(batch.activity.shape[2], dtype=torch.bool)
        units[first::2] = True
        hidden = hide(batch, {}) | {NEURAL: units.expand(batch.activity.shape)}
        masks = to_masks(batch, hidden)
        return Masks(visible=masks.visible, scored={NEURAL: masks.scored[NEURAL]})


class Counter:
    """Predicts how often it was asked, everywhere."""

    name = "counter"

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        self.asked += 1
        return Prediction(activity=torch.full(batch.activity.shape, float(self.asked)))


def test_each_part_fills_the_units_it_scored() -> None:
    session, task = plant(units=5), Halves()
    batch = session.batch(session.indices("test"))
    (group,) = grouped(task.variants(session.info))
    found = collect(Counter(), [batch], task, group)[NEURAL]
    assert (found.predicted[:, :, ::2] == 1).all()
    assert (found.predicted[:, :, 1::2] == 2).all()
    assert found.scored.all()


def test_a_part_alone_scores_its_own_units_only() -> None:
    session, task = plant(units=5), Halves()
    batch = session.batch(session.indices("test"))
    found = collect(Copier(), [batch], task, task.variants(session.info)[1:], blind=False)[NEURAL]
    rows = score_activity(found, session.info, None).units
    assert {row["unit"] for row in rows} == {"u1", "u3"}


def test_parts_that_do_not_tile_are_refused() -> None:
    session, task = plant(units=4), Halves()
    batch = session.batch(session.indices("test"))
    found = collect(Copier(), [batch], task, task.variants(session.info), blind=False)[NEURAL]
    found.scored[0, 0, 0] = False
    with pytest.raises(ValueError, match="tile"):
        score_activity(found, session.info, None)


def test_only_units_that_are_hidden_are_blinded() -> None:
    session, task = plant(units=4), Halves()
    batch = session.batch(session.indices("test"))
    shown = blinded(batch, task.masks(batch, task.variants(session.info)[0]))
    assert not shown.activity[:, :, ::2].any()
    assert torch.equal(shown.activity[:, :, 1::2], batch.activity[:, :, 1::2])
    assert batch.activity[:, :, ::2].any(), "the batch itself is left as it was"


def test_variants_with_other_targets_are_other_questions() -> None:
    variants = [
        Variant(hidden=frozenset({NEURAL}), targets={NEURAL: name}) for name in ("a", "b", "a")
    ]
    assert [[v.targets[NEURAL] for v in group] for group in grouped(variants)] == [
        ["a", "a"],
        ["b"],
    ]


def test_shorter_batches_are_padded_and_their_padding_is_not_scored() -> None:
    session, task = plant(ragged=True, windows=24), Halves()
    test = session.indices("test")
    batches = [session.batch(test[i : i + 1]) for i in range(len(test))]
    found = collect(Copier(), batches, task, task.variants(session.info), blind=False)[NEURAL]
    bins = int(session.lengths[test].max())
    np.testing.assert_array_equal(found.scored.all(axis=2), session.valid[test][:, :bins])
    np.testing.assert_array_equal(found.true, session.activity[test][:, :bins])
