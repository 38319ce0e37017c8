from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm import ARHMM, HMM, ARHMMOptions, HMMOptions
from neuroduet.actions.hmm.labelled import assign, evidence
from neuroduet.actions.hmm.projection import fit_projection
from neuroduet.actions.hmm.starts import k_means, nearest
from neuroduet.actions.model import silent
from neuroduet.errors import UserError

FAMILIES = [(HMM, HMMOptions), (ARHMM, ARHMMOptions)]


def turn(angle):
    """Clockwise rotation."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def race(frames, seed=0):
    """The NASCAR recurrent switching linear system: standardised features and states."""
    rng = np.random.default_rng(seed)
    dynamics = [turn(np.pi / 24), turn(np.pi / 48), np.eye(2), np.eye(2)]
    centres = np.array([[2.0, 0.0], [-2.0, 0.0]])
    shifts = [centre - a @ centre for a, centre in zip(dynamics[:2], centres, strict=True)]
    shifts += [np.array([0.1, 0.0]), np.array([-0.25, 0.0])]
    gates, bias = np.array([[100, 0], [-100, 0], [0, 10], [0, -10]]), np.array([-200, -200, 0, 0])
    emission = np.linalg.qr(rng.normal(size=(10, 2)))[0]
    place, places, states = np.array([0.0, 1.0]), [], []
    for _ in range(frames):
        scores = gates @ place + bias
        chances = np.exp(scores - scores.max())
        state = rng.choice(4, p=chances / chances.sum())
        place = dynamics[state] @ place + shifts[state] + 0.01 * rng.normal(size=2)
        places.append(place)
        states.append(state)
    values = np.array(places) @ emission.T + 0.1 * rng.normal(size=(frames, 10))
    standard = (values - values.mean(0)) / values.std(0)
    return standard.astype(np.float32), np.array(states)


def unlabelled(values):
    return Frames(features=values, labels=np.full(len(values), -1))


def chunk_labels(states, per_class, seed, chunk=50):
    """Labels of a few frames of each class, in chunks of consecutive frames of one bout."""
    rng = np.random.default_rng(seed)
    labels = np.full(len(states), -1)
    edges = np.flatnonzero(np.diff(states, prepend=-1, append=-1))
    for label in range(4):
        bouts = [(i, j) for i, j in pairwise(edges) if states[i] == label]
        while (labels == label).sum() < per_class:
            begin, stop = bouts[rng.integers(len(bouts))]
            missing = per_class - (labels == label).sum()
            labels[begin : min(stop, begin + chunk, begin + missing)] = label
    return labels


def best_match(found, states):
    table = np.zeros((4, 4))
    np.add.at(table, (found, states), 1)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / len(states)


@pytest.fixture(scope="module")
def nascar():
    return race(15_000)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_states_of_nascar_are_found_without_labels(nascar, seed):
    values, states = nascar[0][10_000:], nascar[1][10_000:]
    model = ARHMM.fit([unlabelled(values)], 4, ARHMMOptions(restarts=1), seed, silent)
    assert model.arrays()["loadings"].shape == (10, 2)
    assert best_match(model.predict_proba([values])[0].argmax(1), states) > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_labels_per_class_name_the_states_of_nascar(nascar, seed):
    values, states = nascar
    labels = chunk_labels(states[:10_000], 20, seed)
    assert [(labels == label).sum() for label in range(4)] == [20] * 4
    frames = Frames(features=values[:10_000], labels=labels)
    model = ARHMM.fit([frames], 4, ARHMMOptions(restarts=1), seed, silent)
    assert (model.predict_proba([values[10_000:]])[0].argmax(1) == states[10_000:]).mean() > 0.95


def test_places_that_stay_the_same_are_found_by_the_gaussian_states():
    rng = np.random.default_rng(0)
    states = np.repeat(rng.integers(0, 4, 60), 20)
    values = np.array([[0, 0], [4, 0], [0, 4], [4, 4]])[states] + rng.normal(size=(1200, 2))
    model = HMM.fit([unlabelled(values.astype(np.float32))], 4, HMMOptions(), 0, silent)
    found = model.predict_proba([values.astype(np.float32)])[0].argmax(1)
    assert best_match(found, states) > 0.97


def clouds(seed=0):
    """Four places on a line; the first and the third belong together. Labels for some bouts."""
    rng = np.random.default_rng(seed)
    places = np.repeat(rng.integers(0, 4, 80), 25)
    spots = np.array([[0, 0], [10, 0], [5, 0], [15, 0]])
    values = (spots[places] + 0.6 * rng.normal(size=(2000, 2))).astype(np.float32)
    said = np.where(np.arange(2000) // 25 % 5 == 0, places // 2, -1)
    return values, places, said


def test_a_class_of_two_places_takes_two_states():
    values, places, said = clouds()
    frames = [Frames(features=values, labels=said)]
    for per_class, low, high in ((1, 0.0, 0.9), (2, 0.98, 1.0)):
        options = HMMOptions(states_per_class=per_class, components=2)
        model = HMM.fit(frames, 2, options, 0, silent)
        accuracy = (model.predict_proba([values])[0].argmax(1) == places // 2).mean()
        assert low <= accuracy <= high


def test_a_free_state_counts_as_the_class_of_labelled_frames_like_its_own():
    values, places, _ = clouds()
    labels = np.where(places == 3, -1, places)
    labels[np.flatnonzero(places == 3)[:5]] = 1
    options = HMMOptions(free_states=1, components=2, floor=0.1)
    model = HMM.fit([Frames(features=values, labels=labels)], 3, options, 0, silent)
    found = model.predict_proba([values])[0]
    assert found.shape == (2000, 3)
    assert found.sum(1) == pytest.approx(np.ones(2000))
    assert model.classes.shape == (4, 3)
    assert (found.argmax(1) == places)[places < 3].mean() > 0.98
    assert (found.argmax(1)[places == 3] == 1).mean() > 0.9


def test_labelled_frames_allow_states_of_their_own_class_only():
    table = evidence(np.array([0, 1, 1, -1]), 2, trust=0.75)
    assert table[0].tolist() == [0.0] * 4
    assert np.exp(table[1]).tolist() == [1.0, 0.0, 0.0, 0.0]
    assert np.exp(table[2]).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert np.exp(table[3]) == pytest.approx([0.75, 0.25, 0.25, 0.25])


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_the_chances_of_all_weak_labels_of_a_state_sum_to_one(n_classes):
    table = np.exp(evidence(np.arange(n_classes), n_classes, trust=0.4)[1 + n_classes :])
    np.testing.assert_allclose(table.sum(0), 1.0)
    assert np.diag(table) == pytest.approx([0.4] * n_classes)


def test_weak_labels_name_states_and_may_be_wrong():
    values, places, _ = clouds()
    rng = np.random.default_rng(1)
    heard = np.where(rng.random(2000) < 0.15, rng.integers(0, 4, 2000), places)
    nobody = np.full(2000, -1)
    frames = [Frames(features=values, labels=nobody, weak=heard)]
    model = HMM.fit(frames, 4, HMMOptions(components=2), 0, silent)
    assert (heard == places).mean() < 0.93
    assert (model.predict_proba([values])[0].argmax(1) == places).mean() > 0.98


def test_states_are_given_to_classes_so_that_the_sum_of_values_is_largest():
    value = np.array([[-10.0, -1.0], [-2.0, -1.5], [-9.0, -9.0], [-30.0, -40.0]])
    assert assign(value[:2], per_class=1, free=0).tolist() == [1, 0]
    assert assign(value[:3], per_class=1, free=1).tolist() == [1, 0, -1]
    assert sorted(assign(value, per_class=2, free=0).tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize(("family", "options"), FAMILIES)
@pytest.mark.parametrize("decoding", ["posterior", "viterbi"])
def test_a_restored_model_predicts_the_same(family, options, decoding):
    rng = np.random.default_rng(2)
    recordings = [rng.normal(size=(n, 4)).astype(np.float32).cumsum(0) for n in (1, 90, 200)]
    chosen = options(decoding=decoding, restarts=1)
    model = family.fit([unlabelled(one) for one in recordings], 3, chosen, 0, silent)
    again = family.restore(dict(model.arrays()), chosen)
    for one, other in zip(
        model.predict_proba(recordings), again.predict_proba(recordings), strict=True
    ):
        assert one.tolist() == other.tolist()
    if decoding == "viterbi":
        assert set(np.unique(one)) <= {0.0, 1.0}


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_recordings_are_predicted_as_each_would_be_alone(family, options):
    rng = np.random.default_rng(3)
    recordings = [rng.normal(size=(n, 3)).astype(np.float32) for n in (1, 2, 150, 300)]
    model = family.fit([unlabelled(r) for r in recordings], 3, options(restarts=1), 0, silent)
    together = model.predict_proba(recordings)
    assert [len(one) for one in together] == [1, 2, 150, 300]
    for one, recording in zip(together, recordings, strict=True):
        assert one == pytest.approx(model.predict_proba([recording])[0], abs=1e-9)
        assert one.sum(1) == pytest.approx(np.ones(len(recording)))
    assert model.predict_proba([]) == []


@pytest.mark.parametrize(("family", "options"), FAMILIES)
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((50, 3), np.float32),
        np.ones((1, 2), np.float32),
        np.arange(6, dtype=np.float32)[:, None],
        np.repeat(np.array([[0.0, 1.0], [2.0, 5.0]], np.float32), 30, axis=0),
    ],
    ids=["constant", "one frame", "fewer frames than states", "two values"],
)
@pytest.mark.parametrize("labelled", [False, True])
def test_poor_recordings_give_finite_probabilities(family, options, values, labelled):
    labels = np.full(len(values), -1)
    if labelled:
        labels[0] = 2
    frames = [Frames(features=values, labels=labels)]
    for n_classes in (8, 3) if not labelled else (8,):
        model = family.fit(frames, n_classes, options(), 0, silent)
        found = model.predict_proba([values, values[:1]])
        assert [one.shape for one in found] == [(len(values), n_classes), (1, n_classes)]
        assert np.concatenate(found).sum(1) == pytest.approx(np.ones(len(values) + 1))


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_a_single_state_is_certain(family, options):
    values = np.random.default_rng(4).normal(size=(100, 3)).astype(np.float32)
    model = family.fit([unlabelled(values)], 1, options(), 0, silent)
    assert model.predict_proba([values])[0] == pytest.approx(np.ones((100, 1)))


def test_equal_seeds_give_equal_models_and_progress_is_reported():
    values = np.random.default_rng(5).normal(size=(400, 3)).astype(np.float32).cumsum(0)
    heard = []
    one = ARHMM.fit([unlabelled(values)], 3, ARHMMOptions(), 7, lambda *said: heard.append(said))
    two = ARHMM.fit([unlabelled(values)], 3, ARHMMOptions(), 7, silent)
    for name, array in one.arrays().items():
        assert array.tolist() == two.arrays()[name].tolist()
    assert [done for done, _, _ in heard] == list(range(1, len(heard) + 1))
    assert all(len(heard) <= total == 300 for _, total, _ in heard)


def test_components_are_counted_or_explain_a_share_of_the_variance():
    rng = np.random.default_rng(6)
    values = (rng.normal(size=(500, 5)) * [10, 5, 1, 0.1, 0]).astype(np.float32)
    for components, limit, expected in ((3, 10, 3), (0.7, 10, 1), (0.95, 10, 2), (1.0, 10, 4)):
        found = fit_projection([values[:100], values[100:]], components, limit)
        assert found.loadings.shape == (5, expected)
    assert fit_projection([values], 1.0, 2).loadings.shape == (5, 2)
    assert fit_projection([values], 9, 10).loadings.shape == (5, 4)
    plain = fit_projection([values], 2, 10).apply(values)
    assert plain.var(0).mean() == pytest.approx(1.0, rel=1e-4)
    assert plain.var(0)[0] > 3 * plain.var(0)[1]
    whitened = fit_projection([values], 2, 10, whiten=True).apply(values)
    assert whitened.var(0) == pytest.approx(np.ones(2), rel=1e-4)


def test_other_features_than_those_fitted_to_are_refused():
    values = np.random.default_rng(8).normal(size=(50, 3)).astype(np.float32)
    model = HMM.fit([unlabelled(values)], 2, HMMOptions(), 0, silent)
    with pytest.raises(UserError, match="2 features where the model was fitted to 3"):
        model.predict_proba([values[:, :2]])


def test_k_means_finds_far_clusters_and_bears_fewer_points_than_clusters():
    rng = np.random.default_rng(9)
    truth = np.repeat(np.arange(3), 40)
    points = np.array([[0.0, 0], [10, 0], [0, 10]])[truth] + rng.normal(size=(120, 2))
    found = nearest(points, k_means(points, 3, rng))
    assert len({(a, b) for a, b in zip(found, truth, strict=True)}) == 3
    assert np.isfinite(k_means(points[:2], 5, rng)).all()


@pytest.mark.parametrize("given", [0, 0.0, 1.5, -1])
def test_impossible_numbers_of_components_are_refused(given):
    with pytest.raises(ValueError, match="components"):
        HMMOptions(components=given)


@pytest.mark.parametrize(("family", "options"), FAMILIES)
@pytest.mark.parametrize("labelled", [False, True])
def test_a_fit_that_ends_before_it_has_converged_says_so_once(family, options, labelled, caplog):
    values, states = race(600)
    labels = chunk_labels(states, 20, 0, chunk=5) if labelled else np.full(len(values), -1)
    frames = [Frames(features=values, labels=labels)]
    family.fit(frames, 4, options(iterations=2, tolerance=0, restarts=2), 0, silent)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "2 iterations ended; allow it more, e.g. iterations=4" in caplog.text
    caplog.clear()
    family.fit(frames, 4, options(iterations=50, tolerance=1e-2, restarts=2), 0, silent)
    assert caplog.text == ""
