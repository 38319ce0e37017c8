"""Activity asked about by hiding units and bins: the questions, and the loop that asks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import Copier, Guesser, PlantedSession, Silent, plant, value

from neuroduet import metrics
from neuroduet.errors import UserError
from neuroduet.tasks import GROUPS, TASKS, task_names
from neuroduet.tasks.activity import one_question, question_masks
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.oracle import oracles
from neuroduet.tasks.questions import Whole
from neuroduet.tasks.task import ActivityOptions, Variant
from neuroduet.types import NEURAL, NO_REGION, Batch, Masks, Prediction, UnitQuestions

ACTIVITY = ("co_smoothing", "forward", "intra_region", "inter_region")
BY_UNITS = ("co_smoothing", "intra_region", "inter_region")

AREAS = st.lists(st.sampled_from(["CA1", "VISp", "LP", "root", ""]), min_size=1, max_size=12)


def planted(regions: Sequence[str] | None, **changes) -> PlantedSession:
    """A session with these regions of its units; ``None`` for one of five units without any."""
    session = plant(units=5 if regions is None else len(regions), **changes)
    places = None if regions is None else tuple(regions)
    return replace(session, info=replace(session.info, regions=places))


def variants(task: str, session: PlantedSession, **options) -> tuple[Variant, ...]:
    return TASKS[task].variants(session.info, ActivityOptions(**options))


def questions(task: str, session: PlantedSession, **options) -> UnitQuestions:
    (variant,) = variants(task, session, **options)
    assert variant.questions is not None
    return variant.questions


# The questions -----------------------------------------------------------------------------------


def test_exact_co_smoothing_hides_every_unit_once() -> None:
    asked = questions("co_smoothing", planted("AABBB"))
    assert torch.equal(asked.hidden, torch.eye(5, dtype=torch.bool))
    assert torch.equal(asked.scored, asked.hidden)


@given(units=st.integers(1, 30), folds=st.integers(2, 9))
def test_folds_of_units_are_of_near_equal_size_and_ask_about_each_once(
    units: int, folds: int
) -> None:
    session = planted("A" * units)
    asked = questions("co_smoothing", session, folds=folds)
    assert torch.equal(asked.scored, asked.hidden)
    assert len(asked.hidden) == min(folds, units)
    assert (asked.scored.sum(0) == 1).all()
    sizes = asked.hidden.sum(1)
    assert sizes.max() - sizes.min() <= 1
    assert torch.equal(asked.hidden, questions("co_smoothing", session, folds=folds).hidden)


def test_folds_mix_neighbouring_units() -> None:
    fold = questions("co_smoothing", planted("A" * 40), folds=4).hidden[0].nonzero().flatten()
    assert set(fold.diff().tolist()) != {1}
    assert set(fold.diff().tolist()) != {4}


@given(places=AREAS, folds=st.none() | st.integers(2, 4), task=st.sampled_from(BY_UNITS))
def test_no_unit_is_asked_about_twice_or_while_it_can_be_seen(
    places: list[str], folds: int | None, task: str
) -> None:
    for variant in variants(task, planted(places), folds=folds):
        asked = variant.questions
        assert not (asked.scored & ~asked.hidden).any()
        assert asked.scored.any(1).all()
        assert (asked.scored.sum(0) <= 1).all()


@given(places=AREAS)
def test_inter_region_has_one_question_per_known_region(places: list[str]) -> None:
    known = sorted({place for place in places if place not in NO_REGION})
    found = variants("inter_region", planted(places))
    if len(known) < 2:
        assert found == ()
        return
    asked = found[0].questions
    assert torch.equal(asked.hidden, asked.scored)
    assert asked.hidden.tolist() == [[place == area for place in places] for area in known]


@given(places=AREAS, folds=st.none() | st.integers(2, 4))
def test_intra_region_shows_one_region_alone(places: list[str], folds: int | None) -> None:
    several = {p for p in places if p not in NO_REGION and places.count(p) > 1}
    found = variants("intra_region", planted(places), folds=folds)
    if not several:
        assert found == ()
        return
    asked = found[0].questions
    assert [bool(x) for x in asked.scored.any(0)] == [place in several for place in places]
    for hidden, scored in zip(asked.hidden, asked.scored, strict=True):
        (area,) = {places[unit] for unit in scored.nonzero().flatten().tolist()}
        inside = torch.tensor([place == area for place in places])
        assert torch.equal(hidden, ~inside | scored)
        assert (~hidden).any()
    if folds is not None:
        for area in several:
            rows = asked.scored[:, [place == area for place in places]].any(1)
            assert int(rows.sum()) == min(folds, places.count(area))


@pytest.mark.parametrize("task", ["intra_region", "inter_region"])
@pytest.mark.parametrize("regions", [None, ["root", "", "unknown", "void", "nan"]])
def test_sessions_without_regions_are_not_asked_about_them(
    task: str, regions: list[str] | None, caplog: pytest.LogCaptureFixture
) -> None:
    session = planted(regions)
    assert variants(task, session) == ()
    assert score_predictors([Guesser([session])], [session], [task]).scores == []
    assert f"'mouse/1' is not scored in {task}: it does not name the regions" in caplog.text
    caplog.clear()
    # Who asks for all tasks need not be told which do not apply.
    assert score_predictors([Guesser([session])], [session]).scores
    assert caplog.text == ""


def test_only_wanted_units_are_asked_about() -> None:
    session = planted("AABBB")
    asked = questions("co_smoothing", session, units=("u1", "u4"))
    assert asked.scored.nonzero().tolist() == [[0, 1], [1, 4]]
    asked = questions("co_smoothing", session, units=("u4", "u2", "u1"), folds=2)
    assert asked.scored.any(0).tolist() == [False, True, True, False, True]
    asked = questions("inter_region", session, units=("u1", "u0"))
    assert asked.hidden.tolist() == [[True, True, False, False, False]]
    assert asked.scored.tolist() == [[True, True, False, False, False]]
    asked = questions("inter_region", session, units=("u3",))
    assert asked.hidden.tolist() == [[False, False, True, True, True]]
    assert asked.scored.tolist() == [[False, False, False, True, False]]
    asked = questions("intra_region", session, units=("u3",))
    assert asked.hidden.tolist() == [[True, True, False, True, False]]


def test_an_unknown_unit_names_the_nearest() -> None:
    session, options = planted("AABBB"), ActivityOptions(units=("v3",))
    with pytest.raises(UserError, match="unknown unit 'v3'; did you mean 'u3'"):
        score_predictors([Sum()], [session], ["co_smoothing"], options=options)


@pytest.mark.parametrize(("bins", "horizon"), [(100, 10), (250, 10), (40, 4), (12, 1), (5, 1)])
def test_forward_hides_ten_bins_or_a_tenth_of_short_windows(bins: int, horizon: int) -> None:
    (variant,) = variants("forward", planted("AB", bins=bins))
    assert variant.horizon == horizon


@pytest.mark.parametrize("ragged", [False, True])
def test_forward_hides_the_last_bins_of_every_window_and_all_behaviour(ragged: bool) -> None:
    session = planted("AB", ragged=ragged)
    assert variants("forward", session, horizon=1)[0].horizon == 1
    (variant,) = variants("forward", session, horizon=2)
    batch = session.batch(np.arange(20))
    masks = TASKS["forward"].masks(batch, variant)
    for valid, seen, asked in zip(
        batch.valid, masks.visible[NEURAL], masks.scored[NEURAL], strict=True
    ):
        bins = int(valid.sum())
        assert seen[:, 0].nonzero().flatten().tolist() == list(range(bins - 2))
        assert asked[:, 0].nonzero().flatten().tolist() == [bins - 2, bins - 1]
    assert set(masks.scored) == {NEURAL}
    assert not any(seen.any() for name, seen in masks.visible.items() if name != NEURAL)


@pytest.mark.parametrize("horizon", [10, 11])
def test_a_horizon_that_leaves_nothing_is_refused(horizon: int) -> None:
    with pytest.raises(UserError, match=f"horizon of {horizon} bins leaves nothing of .* 10 bins"):
        variants("forward", planted("AB", bins=10), horizon=horizon)


# The loop ----------------------------------------------------------------------------------------


class Sum:
    """Expects of every unit the same: a tenth, and the mean over bins of all that it can see."""

    name = "sum"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        self.asked.append(task)
        return Prediction(activity=self._log_rates(batch, masks.visible[NEURAL]))

    def _log_rates(self, batch: Batch, seen: torch.Tensor) -> torch.Tensor:
        shown = batch.activity * seen
        rates = 0.1 + shown.sum((1, 2)) / batch.valid.sum(1)
        return rates.log()[:, None, None].expand(batch.activity.shape)


class QuickSum(Sum):
    """The same, but answers questions about units at once."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[str, int]] = []

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> torch.Tensor | None:
        self.blocks.append((task, len(questions.hidden)))
        found = torch.full(batch.activity.shape, torch.nan)
        for hidden, scored in zip(questions.hidden, questions.scored, strict=True):
            rates = self._log_rates(batch, masks.visible[NEURAL] & ~hidden)
            found[:, :, scored] = rates[:, :, scored]
        return found


REGIONS = ["A", "B", "A", "root", "C", "B", "A"]


def worked_out(session: PlantedSession, task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected counts that :class:`Sum` gives, scored bins and scored units, without any mask."""
    test = session.indices("test")
    counts, valid = session.activity[test], session.valid[test]
    lengths, place = session.lengths[test], np.array(REGIONS)
    total = counts.sum(1)
    if task == "forward":
        late = valid & (np.arange(counts.shape[1]) >= lengths[:, None] - 1)
        seen = (counts * ~late[..., None]).sum((1, 2))
        rates = np.repeat(seen[:, None], counts.shape[2], 1)
        scored = np.ones(len(place), dtype=bool)
    else:
        late = valid
        rates, scored = np.zeros(total.shape), np.ones(len(place), dtype=bool)
        for unit in range(len(place)):
            same = place == place[unit]
            if task == "co_smoothing":
                rates[:, unit] = total.sum(1) - total[:, unit]
            elif task == "inter_region":
                rates[:, unit], scored[unit] = total[:, ~same].sum(1), place[unit] != "root"
            else:
                rates[:, unit] = total[:, same].sum(1) - total[:, unit]
                scored[unit] = same.sum() > 1
    rates = 0.1 + rates / lengths[:, None]
    return np.repeat(rates[:, None], counts.shape[1], 1), late, scored


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("task", ACTIVITY)
@pytest.mark.parametrize("predictor", [Sum, QuickSum])
def test_scores_are_those_worked_out_by_hand(
    predictor: type[Sum], task: str, ragged: bool
) -> None:
    session = planted(REGIONS, ragged=ragged)
    found = score_predictors([predictor()], [session], [task])
    rates, bins, units = worked_out(session, task)
    counts = session.activity[session.indices("test")][:, :, units]
    rates = rates[:, :, units]
    assert all(s.target == "spikes" and s.task == task for s in found.scores)
    assert value(found.scores, metric="bits_per_spike") == pytest.approx(
        metrics.bits_per_spike(rates, counts, bins), rel=1e-4
    )
    assert value(found.scores, metric="r2") == pytest.approx(
        metrics.r2(counts[bins], rates[bins]), rel=1e-4
    )
    spikes = {s.n for s in found.scores if s.metric == "bits_per_spike"}
    assert spikes == {int(counts[bins].sum())}
    rows = [u for u in found.units if u["metric"] == "bits_per_spike"]
    assert [u["unit"] for u in rows] == [f"u{i}" for i in np.flatnonzero(units)]
    assert [u["region"] for u in rows] == list(np.array(REGIONS)[units])
    each = metrics.bits_per_spike_by_unit(rates, counts, bins)
    np.testing.assert_allclose([u["value"] for u in rows], each, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("task", BY_UNITS)
def test_a_predictor_without_a_short_way_is_asked_one_question_at_a_time(task: str) -> None:
    session, copier = planted(REGIONS), Copier()
    score_predictors([copier], [session], [task])
    asked = questions(task, session)
    whole = session.batch(session.indices("test"))
    assert len(copier.seen) == len(asked.hidden)
    for batch, hidden in zip(copier.seen, asked.hidden, strict=True):
        assert torch.equal(batch.activity, whole.activity * ~hidden)
        assert not any(seen.any() for seen in batch.observed.values())
        assert not any(values.any() for values in batch.behaviours.values())


@pytest.mark.parametrize("task", ACTIVITY)
def test_who_returns_what_it_sees_gets_nothing(task: str) -> None:
    scores = score_predictors([Copier()], [planted(REGIONS)], [task]).scores
    assert value(scores, metric="bits_per_spike") < -5
    assert value(scores, metric="r2") < 0
    open_book = score_predictors([Copier()], [planted(REGIONS)], [task], blind=False).scores
    assert value(open_book, metric="r2") == pytest.approx(1.0)


@pytest.mark.parametrize("task", ACTIVITY)
def test_who_heeds_the_masks_need_not_be_blinded(task: str) -> None:
    session = planted(REGIONS, ragged=True)
    seeing = score_predictors([Sum()], [session], [task], blind=False)
    assert repr(seeing) == repr(score_predictors([Sum()], [session], [task]))


def test_who_has_a_short_way_is_asked_in_blocks_and_never_for_single_units() -> None:
    session, predictor = planted("A" * 20 + "B" * 15), QuickSum()
    score_predictors([predictor], [session], ["co_smoothing", "inter_region", "forward"])
    assert predictor.blocks == [("co_smoothing", n) for n in (16, 16, 3)] + [("inter_region", 2)]
    assert predictor.asked == ["forward"]


def test_a_fold_is_predicted_without_any_of_its_units() -> None:
    session, options = planted("A" * 6), ActivityOptions(folds=2)
    counts = session.activity[session.indices("test")]
    rates = np.zeros(counts.shape)
    for fold in questions("co_smoothing", session, folds=2).hidden.numpy():
        rates[:, :, fold] = 0.1 + counts[:, :, ~fold].sum((1, 2))[:, None, None] / 10
    each = metrics.bits_per_spike_by_unit(rates, counts, np.ones(counts.shape[:2], dtype=bool))
    for predictor in (Sum(), QuickSum()):
        found = score_predictors([predictor], [session], ["co_smoothing"], options=options).units
        bits = [u["value"] for u in found if u["metric"] == "bits_per_spike"]
        np.testing.assert_allclose(bits, each, rtol=1e-3)


def test_a_subset_of_units_is_scored_as_it_is_among_all() -> None:
    session = planted(REGIONS)
    for task in ACTIVITY[::2]:
        whole = score_predictors([Sum()], [session], [task]).units
        options = ActivityOptions(units=("u5", "u2"))
        part = score_predictors([Sum()], [session], [task], options=options).units
        assert [u for u in whole if u["unit"] in ("u2", "u5")] == part


class Mute(Silent):
    """Has a short way, and nothing to say."""

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> torch.Tensor | None:
        return None


@pytest.mark.parametrize("predictor", [Silent, Mute])
def test_what_is_not_answered_has_no_rows(predictor: type[Silent]) -> None:
    found = score_predictors([predictor()], [planted(REGIONS)], ["activity"])
    assert found.scores == []
    assert found.units == []


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_the_size_of_the_batches_changes_no_score(batch_size: int) -> None:
    session = planted(REGIONS, ragged=True)
    for predictor in (Sum(), QuickSum()):
        whole = score_predictors([predictor], [session], ["activity"])
        parts = score_predictors([predictor], [session], ["activity"], batch_size=batch_size)
        assert repr(whole.scores) == repr(parts.scores)
        assert repr(whole.units) == repr(parts.units)


def test_true_rates_are_the_oracle_of_every_activity_task() -> None:
    session = planted(REGIONS, simulated=True, ragged=True)
    rates = oracles([session])[1]
    scores = score_predictors([rates, Sum()], [session], ["activity"]).scores
    assert {s.task for s in scores} == set(ACTIVITY)
    for s in scores:
        best = value(scores, model="oracle_rates", task=s.task, metric=s.metric)
        assert s.oracle == pytest.approx(best)
        assert s.null == 0.0
    bits = [s for s in scores if s.metric == "bits_per_spike" and s.model == "sum"]
    assert all(s.value < s.oracle for s in bits)


def test_traces_are_asked_about_too() -> None:
    session = planted(REGIONS, neural="traces")
    found = score_predictors([Guesser([session])], [session], ["activity"])
    assert {s.task for s in found.scores} == set(ACTIVITY)
    assert {(s.target, s.metric) for s in found.scores} == {
        ("traces", "r2"),
        ("traces", "psth_r2"),
    }


def test_a_session_without_behaviour_is_asked_about_its_activity() -> None:
    session = planted(REGIONS, behaviours=())
    assert {s.task for s in score_predictors([Sum()], [session], ["activity"]).scores} == set(
        ACTIVITY
    )


@pytest.mark.parametrize("task", ACTIVITY)
def test_every_task_can_be_asked_for_by_name(task: str) -> None:
    scores = score_predictors([Sum()], [planted(REGIONS)], [task]).scores
    assert {s.task for s in scores} == {task}


def test_the_group_stands_for_its_four_tasks() -> None:
    assert task_names(["activity"]) == list(ACTIVITY)
    assert GROUPS["activity"] == ACTIVITY
    assert task_names(["forward", "activity", "encoding"]) == [
        "forward",
        "co_smoothing",
        "intra_region",
        "inter_region",
        "encoding",
    ]
    scores = score_predictors([Sum()], [planted(REGIONS)], ["activity"]).scores
    assert list(dict.fromkeys(s.task for s in scores)) == list(ACTIVITY)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("co_smooting", "co_smoothing"), ("inter_regoin", "inter_region"), ("activty", "activity")],
)
def test_an_unknown_name_names_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(UserError, match=f"unknown task '{wrong}'; did you mean '{right}'"):
        score_predictors([], [], [wrong])


def test_units_of_some_sessions_are_asked_about_there_and_a_wrong_one_is_named() -> None:
    sessions = [plant("a", units=3), plant("b", seed=2, units=6)]
    options = ActivityOptions(units=("u5",))
    scores = score_predictors(
        [Guesser(sessions)], sessions, ["co_smoothing"], options=options
    ).scores
    assert {s.session for s in scores} == {"b"}
    options = ActivityOptions(units=("u1", "v5"))
    with pytest.raises(UserError, match="unknown unit 'v5'; did you mean 'u5'"):
        score_predictors([Guesser(sessions)], sessions, ["co_smoothing"], options=options)


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"folds": 0}, {"horizon": 0}])
def test_options_that_leave_nothing_to_ask_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="give . or more"):
        ActivityOptions(**wrong)


@pytest.mark.parametrize("task", BY_UNITS)
def test_units_that_a_session_lacks_leave_nothing_to_ask(task: str) -> None:
    assert variants(task, planted(["CA1", "CA1", "VISp", "VISp"]), units=("u9",)) == ()


def test_a_question_scores_its_own_units_only() -> None:
    session = planted(["CA1", "CA1", "VISp"])
    batch = session.batch(np.arange(2))
    (variant,) = variants("co_smoothing", session)
    masks = one_question(question_masks(batch, variant), questions("co_smoothing", session), 1)
    own = batch.valid[:, :, None] & torch.tensor([False, True, False])
    assert torch.equal(masks.scored[NEURAL], own)
    assert torch.equal(masks.visible[NEURAL], batch.valid[:, :, None] & ~own)


def test_progress_of_a_part_counts_towards_the_whole_and_never_goes_back() -> None:
    told: list[tuple[str, int, int]] = []
    whole = Whole(progress=lambda *progress: told.append(progress))
    whole.next("first", 0, 2)
    for done in (1, 3, 2, 4):
        whole.asked("unit", done, 4)
    whole.next("second", 1, 2)
    whole.asked("unit", 1, 4)
    first, second = [("unit", done, 8) for done in (1, 3, 4)], [("unit", 5, 8)]
    assert told == [("first", 0, 2), *first, ("second", 1, 2), *second]
