from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from planted import Copier, plant

from neuroduet.errors import UserError
from neuroduet.tasks.evaluate import score_predictors
from neuroduet.tasks.region_classifier import guess_out_of_fold, name_regions
from neuroduet.tasks.regions import RegionReadout
from neuroduet.types import Score, SessionInfo

FAST = RegionReadout(shuffles=4)


def info(session: str, regions: list[str] | None, units: int = 30) -> SessionInfo:
    return SessionInfo(
        id=session,
        subject="mouse",
        neural="spikes",
        units=tuple(f"u{i}" for i in range(units)),
        regions=None if regions is None else tuple(regions),
        behaviours=(),
        bin_size_s=0.02,
        max_bins=10,
    )


def planted(sessions: int, strength: float, seed: int = 0, units: int = 30):
    """Sessions with three regions in turn, each at its own place in the space of embeddings."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(3, 6)) * strength
    infos, embeddings = [], {}
    for index in range(sessions):
        which = generator.permutation(np.arange(units) % 3)
        infos.append(info(f"s{index}", [f"R{i}" for i in which], units))
        embeddings[f"s{index}"] = centres[which] + generator.normal(size=(units, 6))
    return embeddings, infos


def scored(*asked) -> list[Score]:
    return [score for score, _ in FAST.read_out(*asked).scores]


def test_planted_regions_are_read_out_of_held_out_sessions() -> None:
    embeddings, infos = planted(3, strength=4.0)
    scores = [s for s in scored("m", embeddings, infos) if s.model == "m"]
    assert [(s.session, s.metric) for s in scores] == [
        (f"s{i}", metric) for i in range(3) for metric in ("balanced_accuracy", "macro_f1")
    ]
    for s in scores:
        assert s.value > 0.95
        assert s.null == pytest.approx(1 / 3, abs=0.2)
        assert (s.n, s.task, s.target, s.split) == (30, "regions", "region", "test")


def test_noise_is_at_chance() -> None:
    embeddings, infos = planted(4, strength=0.0, units=60)
    scores = [s for s in scored("m", embeddings, infos) if s.model == "m"]
    found = np.mean([s.value for s in scores if s.metric == "balanced_accuracy"])
    # 240 units, three classes: the standard error is 0.03.
    assert found == pytest.approx(1 / 3, abs=0.1)


def test_the_majority_rows_read_one_over_the_number_of_regions() -> None:
    embeddings, infos = planted(2, strength=1.0)
    scores = [s for s in scored("m", embeddings, infos) if s.model == "majority"]
    balanced = [s.value for s in scores if s.metric == "balanced_accuracy"]
    assert balanced == pytest.approx([1 / 3, 1 / 3])
    # Of 30 units 10 are of the region that is always guessed: F1 2 * 10 / (10 + 30), over three.
    f1 = [s.value for s in scores if s.metric == "macro_f1"]
    assert f1 == pytest.approx([1 / 6, 1 / 6])


def test_a_sessions_own_quirk_does_not_help() -> None:
    """Regions lie elsewhere in every session: held-out sessions stay at chance."""
    parts = [planted(1, strength=4.0, seed=seed, units=45) for seed in range(6)]
    infos = [info(f"s{i}", list(part[1][0].regions), 45) for i, part in enumerate(parts)]
    embeddings = {f"s{i}": part[0]["s0"] for i, part in enumerate(parts)}
    across = [s.value for s in scored("m", embeddings, infos) if s.model == "m"]
    within = [s.value for s in scored("m", embeddings, infos[:1]) if s.model == "m"]
    assert np.mean(across) < 0.6
    assert np.mean(within) > 0.95


def test_folds_over_the_units_of_one_session_are_named_as_such() -> None:
    embeddings, infos = planted(1, strength=4.0)
    scores = scored("m", embeddings, infos)
    assert {s.session for s in scores} == {"s0 (folds over units)"}
    assert all(s.n == 30 for s in scores)
    assert all(s.value > 0.9 for s in scores if s.model == "m")


def test_small_and_unknown_regions_are_left_out() -> None:
    embeddings, infos = planted(2, strength=4.0)
    regions = list(infos[0].regions)
    regions[:3] = ["rare", "rare", "root"]
    scores = scored("m", embeddings, [info("s0", regions), infos[1]])
    assert {(s.session, s.n) for s in scores} == {("s0", 27), ("s1", 30)}


def test_a_region_of_one_session_only_cannot_be_named_and_is_not_scored() -> None:
    embeddings, infos = planted(2, strength=4.0)
    regions = ["own" if r == "R0" else r for r in infos[0].regions]
    scores = scored("m", embeddings, [info("s0", regions), infos[1]])
    assert {(s.session, s.n) for s in scores} == {("s0", 20), ("s1", 20)}


def test_sessions_without_regions_or_embeddings_are_left_out() -> None:
    embeddings, infos = planted(3, strength=4.0)
    without = [infos[0], infos[1], info("s2", None), info("s3", list(infos[0].regions))]
    assert {s.session for s in scored("m", embeddings, without)} == {"s0", "s1"}
    assert scored("m", {}, infos) == []
    assert scored("m", embeddings, [info("s0", ["R0"] * 30), info("s1", ["R0"] * 30)]) == []


def test_the_readout_is_the_same_every_time() -> None:
    embeddings, infos = planted(2, strength=1.0)
    there, back = (scored("m", embeddings, order) for order in (infos, infos[::-1]))
    assert repr(there) == repr(back)  # NaN, where there is no oracle, equals nothing


def test_embeddings_of_another_size_are_refused() -> None:
    embeddings, infos = planted(2, strength=1.0)
    with pytest.raises(UserError, match="one row per unit and one width"):
        scored("m", embeddings | {"s1": np.zeros((30, 5))}, infos)
    with pytest.raises(UserError, match="one row per unit and one width"):
        scored("m", embeddings | {"s1": np.zeros((29, 6))}, infos)


class Embedding(Copier):
    """A predictor with embeddings, which knows more sessions than are scored."""

    def __init__(self, embeddings: dict[str, np.ndarray], sessions: list[SessionInfo]) -> None:
        super().__init__("embedding")
        self.sessions, self._embeddings = sessions, embeddings

    def embeddings(self) -> dict[str, np.ndarray]:
        return self._embeddings


def test_the_loop_scores_regions_of_the_sessions_asked_for() -> None:
    embeddings, infos = planted(3, strength=4.0)
    model = Embedding(embeddings, infos)
    session = plant("s1", units=30, behaviours=())
    scores = score_predictors([Copier("plain"), model], [session], ["regions"]).scores
    assert [(s.model, s.session) for s in scores] == [
        ("embedding", "s1"),
        ("majority", "s1"),
    ] * 2


def test_what_was_read_out_of_every_unit_gives_the_scores() -> None:
    embeddings, infos = planted(3, strength=1.0)
    found = RegionReadout(shuffles=1).read_out("m", embeddings, infos)
    table = pd.DataFrame(found.units)
    assert not table.duplicated(["session", "unit"]).any()
    own = {(s.session, s.metric): s.value for s, _ in found.scores if s.model == "m"}
    for session, rows in table.groupby("session"):
        right = (rows["region"] == rows["guess"]).groupby(rows["region"]).mean().mean()
        assert own[session, "balanced_accuracy"] == pytest.approx(right)


def test_the_most_frequent_label_stands_beside_the_guesses_and_fits_are_counted() -> None:
    labels = np.array([0] * 4 + [1] * 8)
    embeddings = np.stack([labels, -labels], axis=1) + np.arange(12)[:, None] / 100.0
    done: list[tuple[int, int]] = []
    guesses, known = guess_out_of_fold(
        embeddings,
        labels,
        np.array(["one"] * 12),
        folds=4,
        shuffles=2,
        seed=0,
        told=lambda *progress: done.append(progress),
    )
    assert known.all()
    assert guesses.shape == (4, 12)
    np.testing.assert_array_equal(guesses[0], labels)
    np.testing.assert_array_equal(guesses[1], 1)
    # Of each fold the fit itself and two with shuffled labels.
    assert done == [(n, 12) for n in (2, 3, 5, 6, 8, 9, 11, 12)]


def test_a_single_region_cannot_be_told_from_others() -> None:
    with pytest.raises(UserError, match="at least two are known, found 1"):
        name_regions(np.eye(3), np.array(["CA1"] * 3), np.array(["one"] * 3), np.eye(3))


def test_weak_regularisation_is_not_chosen_where_it_guesses_worse() -> None:
    """Ten informative of forty dimensions and sixty units: the stronger, the better."""

    def world(units: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        generator, label = np.random.default_rng(seed), np.arange(units) % 2
        noise = generator.normal(size=(units, 40))
        noise[:, :10] += 0.5 * (2 * label[:, None] - 1)
        return noise, np.array(["CA1", "VISp"])[label]

    embeddings, regions = world(60, seed=3)
    sessions = np.array(["a", "b", "c"])[np.arange(60) // 2 % 3]
    new, wanted = world(200, seed=103)
    names, shares = name_regions(embeddings, regions, sessions, new)
    assert names == ["CA1", "VISp"]
    # As sure as a fit of little regularisation is, one would be wrong in a fifth of the units.
    assert shares.max(axis=1).mean() < 0.6
    assert (np.array(names)[shares.argmax(axis=1)] == wanted).mean() > 0.9
