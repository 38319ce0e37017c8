"""Estimators agree with ridge, with training through files, and with scikit-learn."""

from __future__ import annotations

import doctest
import importlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from neuroduet.errors import UserError
from neuroduet.estimators import Decoder, Encoder
from neuroduet.estimators.fitting import SESSION
from neuroduet.estimators.reading import CHUNK

RNG = np.random.default_rng(3)
TRIALS, BINS, UNITS, TRAIN = 90, 12, 20, 70
NOISE = RNG.normal(size=(TRIALS, BINS + 4, 2))
VELOCITY = np.stack([NOISE[:, i : i + BINS] for i in range(5)]).mean(axis=0) * 2
CHOICE = np.where(RNG.random(TRIALS) < 0.5, "left", "right")
GAINS, BIAS = 0.4 * RNG.normal(size=(2, UNITS)), 0.3 * RNG.normal(size=UNITS)
SIGN = np.where(CHOICE == "left", -1, 1)[:, None, None]
COUNTS = RNG.poisson(np.exp(VELOCITY @ GAINS + SIGN * BIAS))
TRACES = VELOCITY @ GAINS + 0.3 * RNG.normal(size=COUNTS.shape)
NEW = slice(TRAIN, None)

SMALL = {
    "model.width": 32,
    "model.layers": 1,
    "model.heads": 2,
    "model.feed_forward": 32,
    "training.ema": 0.95,
    "training.device": "cpu",
}
LONG = SMALL | {
    "training.max_steps": 90,
    "training.learning_rate": 0.01,
    "model.dropout": 0.1,
    "model.unit_dropout": 0.1,
}
DECODING = LONG | {"masking.schemes": {"decoding": 1.0}}
ENCODING = LONG | {"masking.schemes": {"encoding": 1.0}}
BRIEF = SMALL | {"training.max_steps": 2}


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    behaviours = {"velocity": VELOCITY[:TRAIN], "choice": CHOICE[:TRAIN]}
    return Decoder(bin_size_s=0.05, settings=DECODING).fit(COUNTS[:TRAIN], behaviours)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    behaviours = {"velocity": VELOCITY[:TRAIN], "choice": CHOICE[:TRAIN]}
    return Encoder(bin_size_s=0.05, settings=ENCODING).fit(behaviours, COUNTS[:TRAIN])


def around(counts: np.ndarray) -> np.ndarray:
    """Counts of a bin and of two on either side, one row per bin."""
    padded = np.pad(counts, ((0, 0), (2, 2), (0, 0)))
    lags = [padded[:, i : i + counts.shape[1]] for i in range(5)]
    return np.concatenate(lags, axis=2).reshape(-1, 5 * counts.shape[2])


def test_the_decoder_is_as_good_as_ridge_and_far_above_shuffled(decoder: Decoder) -> None:
    ridge = Ridge(alpha=100.0).fit(around(COUNTS[:TRAIN]), VELOCITY[:TRAIN].reshape(-1, 2))
    linear = ridge.score(around(COUNTS[NEW]), VELOCITY[NEW].reshape(-1, 2))
    found = decoder.score(COUNTS[NEW], {"velocity": VELOCITY[NEW]})
    shuffled = decoder.score(COUNTS[NEW], {"velocity": np.roll(VELOCITY[NEW], 1, axis=0)})
    assert linear > 0.4
    assert found > linear - 0.03
    assert shuffled < 0.1


def test_scores_are_those_of_scikit_learn(decoder: Decoder) -> None:
    truth = {"velocity": VELOCITY[NEW], "choice": CHOICE[NEW]}
    scores, found = decoder.scores(COUNTS[NEW], truth), decoder.predict(COUNTS[NEW])
    by_hand = r2_score(VELOCITY[NEW].reshape(-1, 2), found["velocity"].reshape(-1, 2))
    assert scores["velocity"] == pytest.approx(by_hand, abs=1e-6)
    hits = found["choice"] == CHOICE[NEW]
    recalls = [hits[CHOICE[NEW] == side].mean() for side in ("left", "right")]
    assert scores["choice"] == pytest.approx(np.mean(recalls))
    assert decoder.score(COUNTS[NEW], truth) == pytest.approx(np.mean(list(scores.values())))


def test_probabilities_add_up_to_one_and_agree_with_the_predicted_class(decoder: Decoder) -> None:
    probabilities = decoder.predict_proba(COUNTS[NEW])
    assert set(probabilities) == {"choice"}
    np.testing.assert_allclose(probabilities["choice"].sum(axis=-1), 1, rtol=1e-6)
    classes = decoder.classes_["choice"]
    assert list(classes) == ["left", "right"]
    guesses = classes[probabilities["choice"].argmax(axis=-1)]
    assert (guesses == decoder.predict(COUNTS[NEW])["choice"]).all()


def test_training_through_files_gives_the_same_bits(tmp_path: Path) -> None:
    import neuroduet
    from neuroduet.config import override

    assert TRAIN > CHUNK, "predictions are put together from several chunks"
    decoder = Decoder(bin_size_s=0.05, settings=BRIEF, seed=5).fit(
        COUNTS[:TRAIN], VELOCITY[:TRAIN]
    )
    recording = neuroduet.from_arrays(
        session_id=SESSION,
        counts=COUNTS[:TRAIN],
        bin_size_s=0.05,
        behaviours={"behaviour": VELOCITY[:TRAIN]},
        split=decoder.split_,
    )
    neuroduet.save(recording, tmp_path / "data.h5")
    settings = [f"{key}={value}" for key, value in BRIEF.items()]
    config = override(neuroduet.Config(), [*settings, "training.seed=5"])
    run = neuroduet.train(config, tmp_path / "data.h5", tmp_path / "run")
    path = neuroduet.predict(run, tmp_path / "data.h5", tmp_path / "predictions")[0]
    with np.load(path) as stored:
        np.testing.assert_array_equal(
            decoder.predict(COUNTS[:TRAIN]), stored["decoding/behaviour"]
        )


def test_a_seed_gives_the_same_bits_again_and_another_seed_others() -> None:
    def fitted(seed: int) -> np.ndarray:
        model = Decoder(bin_size_s=0.05, settings=BRIEF, seed=seed)
        return model.fit(COUNTS[:30], VELOCITY[:30]).predict(COUNTS[NEW])

    first = fitted(1)
    np.testing.assert_array_equal(first, fitted(1))
    assert not np.array_equal(first, fitted(2))


def test_answers_do_not_depend_on_the_trials_beside(decoder: Decoder) -> None:
    together = decoder.predict(COUNTS[NEW])["velocity"]
    alone = decoder.predict(COUNTS[NEW][:3])["velocity"]
    np.testing.assert_allclose(alone, together[:3], atol=1e-5)


def test_fitting_leaves_random_numbers_and_threads_of_the_caller_alone() -> None:
    import torch

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(11)
        expected = torch.rand(3)
        torch.manual_seed(11)
        Decoder(bin_size_s=0.05, settings=BRIEF).fit(COUNTS[:20], VELOCITY[:20])
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_nothing_is_left_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path / "here")
    model = Decoder(bin_size_s=0.05, settings=BRIEF).fit(COUNTS[:20], VELOCITY[:20])
    model.predict(COUNTS[NEW])
    with pytest.raises(UserError):
        model.fit(COUNTS[:20], VELOCITY[:19])
    assert not list((tmp_path / "scratch").iterdir())
    assert not list((tmp_path / "here").iterdir())


def test_cross_validation_of_scikit_learn_divides_arrays_and_lists_of_trials() -> None:
    model = Decoder(bin_size_s=0.05, settings=BRIEF)
    scores = cross_val_score(model, COUNTS[:24], VELOCITY[:24], cv=2, error_score="raise")
    assert np.isfinite(scores).all()
    trials = [{"velocity": v, "reach": float(n % 3)} for n, v in enumerate(VELOCITY[:24])]
    again = cross_val_score(model, list(COUNTS[:24]), trials, cv=2, error_score="raise")
    assert again.shape == (2,)
    assert np.isfinite(again).all()


def test_a_grid_search_finds_the_better_setting() -> None:
    still = SMALL | {"training.max_steps": 1, "training.learning_rate": 1e-9}
    moving = DECODING | {"training.max_steps": 15}
    search = GridSearchCV(
        Decoder(bin_size_s=0.05), {"settings": [still, moving]}, cv=2, error_score="raise"
    )
    search.fit(COUNTS[:24], VELOCITY[:24])
    assert search.best_params_ == {"settings": moving}
    assert search.predict(COUNTS[NEW]).shape == VELOCITY[NEW].shape


def test_a_grid_runs_over_one_setting_and_leaves_the_others() -> None:
    grid = {"settings__training.max_steps": [1, 2], "seed": [3]}
    model = Decoder(bin_size_s=0.05, settings=SMALL)
    search = GridSearchCV(model, grid, cv=2, error_score="raise")
    search.fit(COUNTS[:24], VELOCITY[:24])
    steps = search.best_params_["settings__training.max_steps"]
    assert search.best_estimator_.settings == SMALL | {"training.max_steps": steps}
    assert search.best_estimator_.model_.config.training.max_steps == steps
    assert search.best_estimator_.seed == 3
    assert model.settings == SMALL
    assert Decoder().set_params(**{"settings__model.width": 8}).settings == {"model.width": 8}
    with pytest.raises(ValueError, match="Invalid parameter 'sed'"):
        model.set_params(sed=3)


def test_folds_of_a_classifier_are_stratified_and_its_probabilities_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rare = np.where(
        np.arange(24) < 6, "left", "right"
    )  # unstratified, a fold would have one class
    folds = []
    fit = Decoder.fit
    monkeypatch.setattr(Decoder, "fit", lambda self, X, y: folds.append(y) or fit(self, X, y))
    model = Decoder(bin_size_s=0.05, settings=BRIEF, classifier=True)
    given = {"scoring": "roc_auc", "error_score": "raise"}
    scores = cross_val_score(model, COUNTS[:24], rare, cv=3, **given)
    assert [int((y == "left").sum()) for y in folds] == [4, 4, 4]
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_decoder_is_a_classifier_as_soon_as_that_is_known() -> None:
    model = Decoder(bin_size_s=0.05, settings=BRIEF)
    assert not is_classifier(model)
    assert is_classifier(clone(model).set_params(classifier=True))
    assert is_classifier(model.fit(COUNTS[:20], CHOICE[:20]))
    assert not is_classifier(model.fit(COUNTS[:20], VELOCITY[:20]))
    assert not is_classifier(model.fit(COUNTS[:20], {"choice": CHOICE[:20]}))
    assert not is_classifier(clone(model).set_params(classifier=False))


@pytest.mark.parametrize("y", [VELOCITY[:20], {"choice": CHOICE[:20], "velocity": VELOCITY[:20]}])
def test_a_classifier_takes_one_array_of_classes(y: object) -> None:
    model = Decoder(bin_size_s=0.05, settings=BRIEF, classifier=True)
    with pytest.raises(UserError, match="expected one array of classes"):
        model.fit(COUNTS[:20], y)


@pytest.mark.parametrize("kind", [Decoder, Encoder])
def test_a_clone_has_the_parameters_and_nothing_that_was_fitted(kind: type) -> None:
    given = {
        "preset": "neds",
        "bin_size_s": 0.1,
        "activity": "traces",
        "validation_fraction": 0.2,
        "max_minutes": 1.0,
        "settings": {"model.width": 32},
        "seed": 4,
        "verbose": True,
    }
    if kind is Decoder:
        given["classifier"] = True
    model = kind(**given)
    assert model.get_params() == given
    assert clone(model).get_params() == given
    assert model.set_params(seed=7).seed == 7
    for error in (UserError, NotFittedError):
        with pytest.raises(error, match="not fitted"):
            clone(model).predict(COUNTS)


def test_validation_trials_are_drawn_from_what_is_fitted(decoder: Decoder) -> None:
    assert decoder.split_.shape == (TRAIN,)
    assert (decoder.split_ == "valid").sum() == round(0.1 * TRAIN)
    whole = Decoder(bin_size_s=0.05, settings=BRIEF, validation_fraction=0.0)
    assert set(whole.fit(COUNTS[:20], VELOCITY[:20]).split_) == {"train"}


def test_trials_of_different_length_are_answered_in_their_own_length() -> None:
    lengths = [BINS - n % 4 for n in range(24)]
    counts = [trial[:n] for trial, n in zip(COUNTS, lengths, strict=False)]
    velocity = [trial[:n] for trial, n in zip(VELOCITY, lengths, strict=False)]
    model = Decoder(bin_size_s=0.05, settings=BRIEF).fit(counts, velocity)
    assert [one.shape for one in model.predict(counts)] == [(n, 2) for n in lengths]
    other = Encoder(bin_size_s=0.05, settings=BRIEF).fit(velocity, counts)
    assert [one.shape for one in other.predict(velocity)] == [(n, UNITS) for n in lengths]


def test_one_channel_is_given_back_with_or_without_its_axis_as_it_came() -> None:
    model = Decoder(bin_size_s=0.05, settings=BRIEF)
    assert model.fit(COUNTS[:20], VELOCITY[:20, :, 0]).predict(COUNTS[NEW]).ndim == 2
    assert model.fit(COUNTS[:20], VELOCITY[:20, :, :1]).predict(COUNTS[NEW]).shape[2:] == (1,)


def test_a_kind_that_new_trials_do_not_show_is_that_of_the_fitted_ones() -> None:
    outcome = np.tile([-1.0, 0.0, 1.0], 8)
    model = Decoder(bin_size_s=0.05, settings=BRIEF).fit(COUNTS[:24], outcome)
    assert list(model.classes_) == [-1, 0, 1]
    # Three different floats alone would be read as continuous.
    assert 0 <= model.score(COUNTS[NEW][:3], np.array([-1.0, 0.0, 1.0])) <= 1
    assert set(model.predict(COUNTS[NEW])) <= {-1, 0, 1}


@pytest.mark.parametrize("as_text", [False, True])
def test_contrasts_are_numbers_as_floats_and_classes_as_text(as_text: bool) -> None:
    levels = np.array([0, 0.0625, 0.125, 0.25, 1.0])
    given = (levels.astype(str) if as_text else levels)[np.arange(30) % 5]
    model = Decoder(bin_size_s=0.05, settings=BRIEF).fit(COUNTS[:30], given)
    assert is_classifier(model) == as_text
    assert list(model.classes_) == (sorted(set(given)) if as_text else [])
    assert np.isin(model.predict(COUNTS[NEW]), given).all() == as_text


def test_whole_floats_are_numbers_where_a_setting_says_so() -> None:
    reward = np.arange(30) % 3 + 1.0
    numbers = {"data.behaviours": [{"name": "behaviour", "kind": "continuous"}]}
    for settings, classes in (({}, [1, 2, 3]), (numbers, [])):
        model = Decoder(bin_size_s=0.05, settings=BRIEF | settings).fit(COUNTS[:30], reward)
        assert list(model.classes_) == classes


def test_a_model_of_activity_alone_decodes_by_linear_read_outs() -> None:
    settings = SMALL | {"training.max_steps": 20}
    model = Decoder("mtm", bin_size_s=0.05, settings=settings).fit(
        COUNTS[:TRAIN], VELOCITY[:TRAIN]
    )
    assert model.score(COUNTS[NEW], VELOCITY[NEW]) > 0.3


def test_the_encoder_knows_more_than_mean_counts_and_sees_behaviour_alone(
    encoder: Encoder,
) -> None:
    behaviours = {"velocity": VELOCITY[NEW], "choice": CHOICE[NEW]}
    expected = encoder.predict(behaviours)
    assert expected.shape == COUNTS[NEW].shape
    assert (expected > 0).all()
    truth = np.exp(VELOCITY[NEW] @ GAINS + SIGN[NEW] * BIAS)
    assert np.corrcoef(expected.ravel(), truth.ravel())[0, 1] > 0.8
    score = encoder.score(behaviours, COUNTS[NEW])
    assert score > 0.05
    others = {"velocity": np.roll(VELOCITY[NEW], 1, axis=0), "choice": CHOICE[NEW]}
    assert encoder.score(others, COUNTS[NEW]) < score - 0.05


def test_the_score_of_the_encoder_is_bits_per_spike(encoder: Encoder) -> None:
    behaviours = {"velocity": VELOCITY[NEW], "choice": CHOICE[NEW]}
    rates, counts = encoder.predict(behaviours).reshape(-1, UNITS), COUNTS[NEW].reshape(-1, UNITS)
    mean = counts.mean(axis=0)
    gain = (counts * np.log(rates / mean) - (rates - mean)).sum(axis=0) / np.log(2)
    expected = (gain / counts.sum(axis=0)).mean()
    assert encoder.score(behaviours, COUNTS[NEW]) == pytest.approx(expected, rel=1e-4)


def test_traces_are_encoded_and_decoded() -> None:
    given = {"bin_size_s": 0.05, "activity": "traces"}
    decoder = Decoder(**given, settings=DECODING | {"training.max_steps": 40})
    decoder.fit(TRACES[:TRAIN], VELOCITY[:TRAIN])
    assert decoder.score(TRACES[NEW], VELOCITY[NEW]) > 0.5
    encoder = Encoder(**given, settings=ENCODING | {"training.max_steps": 40})
    encoder.fit(VELOCITY[:TRAIN], TRACES[:TRAIN])
    assert 0.2 < encoder.score(VELOCITY[NEW], TRACES[NEW]) < 1


def test_trials_alone_say_how_long_an_encoded_trial_is() -> None:
    model = Encoder(bin_size_s=0.05, settings=BRIEF).fit(CHOICE[:20], COUNTS[:20])
    assert model.predict(CHOICE[NEW]).shape == COUNTS[NEW].shape


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": "duett"}, "did you mean 'duet'"),
        ({"settings": {"model.widht": 3}}, "model.width"),
        ({"settings": ["model.width=3"]}, "settings are a list, expected a dict"),
        ({"settings": {1: 3}}, "expected a dict by name"),
        ({"settings": {"training.seed": 5}}, "give seed=... and leave it out of settings"),
        ({"settings": {"training.max_minutes": 5}}, "give max_minutes=..."),
        ({"settings": {"data.windows.align": "continuous"}}, "already; leave it out"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1.0"),
        ({"bin_size_s": 0.0}, "bin_size_s is 0"),
        ({"bin_size_s": 50.0}, "bin_size_s is 50, expected seconds, .* such as 0.05 for 50 ms"),
        ({"seed": -1}, "training.seed.*found -1"),
        ({"activity": "spikes"}, "unknown activity 'spikes'"),
        ({"settings": {"model.width": object()}}, "setting 'model.width' is a object"),
    ],
)
def test_wrong_parameters_are_named_in_one_line(change: dict, said: str) -> None:
    model = Decoder(settings=BRIEF).set_params(**change)
    with pytest.raises(UserError, match=said) as caught:
        model.fit(COUNTS[:10], VELOCITY[:10])
    assert "\n" not in str(caught.value)


def test_wrong_arrays_are_named_in_one_line(decoder: Decoder, encoder: Encoder) -> None:
    wrong = [
        (lambda: decoder.fit(COUNTS[0], VELOCITY[0]), "expected .trials, bins, units."),
        (lambda: clone(decoder).fit(COUNTS[:1], VELOCITY[:1]), "at least one to train on"),
        (lambda: clone(decoder).fit(COUNTS[:9], VELOCITY[:8]), "behaviour 'behaviour' has shape"),
        (lambda: clone(decoder).fit(TRACES[:9], VELOCITY[:9]), 'activity="traces"'),
        (lambda: decoder.predict(-COUNTS), 'activity="traces"'),
        (lambda: clone(decoder).fit(COUNTS[:9].astype(str), VELOCITY[:9]), "X is of type <U"),
        (lambda: clone(decoder).fit(COUNTS[:9] * np.nan, VELOCITY[:9]), "X holds .* not finite"),
        (lambda: encoder.score({"velocity": VELOCITY, "choice": CHOICE}, COUNTS / 2), "y holds"),
        (
            lambda: clone(decoder).fit(COUNTS[:2], [{"a": 1}, {"b": 1}]),
            "trial 0 lacks the behaviour 'b'",
        ),
        (lambda: clone(decoder).fit(COUNTS[:9], {}), "found no behaviour"),
        (lambda: clone(decoder).fit(COUNTS[:9], VELOCITY[:9] * np.nan), "missing in every trial"),
        (lambda: decoder.predict(COUNTS[:0]), "X holds no trial"),
        (lambda: decoder.score(COUNTS, {"choice": VELOCITY}), "'choice' is not given per trial"),
        (lambda: decoder.score(COUNTS, {"velocity": CHOICE}), "'velocity' is not given per bin"),
        (
            lambda: encoder.predict({"velocity": VELOCITY[:0], "choice": CHOICE[:0]}),
            "X holds no trial",
        ),
        (lambda: encoder.predict({"velocity": 3.0, "choice": CHOICE}), "found 3.0 as behaviour"),
        (lambda: decoder.predict(COUNTS[..., :5]), "found 5 units, expected the 20"),
        (lambda: decoder.predict(np.repeat(COUNTS, 2, axis=1)), "a trial of 24 bins"),
        (lambda: decoder.score(COUNTS, {"velocty": VELOCITY}), "did you mean 'velocity'"),
        (lambda: encoder.predict({"velocity": VELOCITY}), "no behaviour 'choice'"),
        (lambda: Encoder("mtm").fit(VELOCITY, COUNTS), "knows activity alone"),
    ]
    for act, said in wrong:
        with pytest.raises(UserError, match=said) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_a_behaviour_that_is_missing_in_all_new_trials_is_not_known(
    decoder: Decoder, encoder: Encoder
) -> None:
    unknown = {"velocity": VELOCITY[NEW], "choice": np.full(len(CHOICE[NEW]), "")}
    without = encoder.predict(unknown)
    assert without.shape == COUNTS[NEW].shape
    assert np.isfinite(without).all()
    known = encoder.predict({"velocity": VELOCITY[NEW], "choice": CHOICE[NEW]})
    assert not np.allclose(without, known)
    # A trial is answered alike whether or not another one, in another chunk, is known.
    mixed = {"velocity": VELOCITY[NEW], "choice": np.append(unknown["choice"][1:], "left")}
    np.testing.assert_allclose(encoder.predict(mixed)[0], without[0], rtol=1e-4)
    scores = decoder.scores(COUNTS[NEW], {**unknown, "velocity": VELOCITY[NEW]})
    assert np.isnan(scores["choice"])
    assert np.isfinite(scores["velocity"])


def test_numbers_of_numpy_are_settings_too() -> None:
    numbers = {"model.width": np.int64(32), "training.batch_size": np.int32(8)}
    schemes = {"masking.schemes": {"decoding": np.float64(1)}}
    model = Decoder(bin_size_s=0.05, settings=BRIEF | numbers | schemes)
    config = model.fit(COUNTS[:20], VELOCITY[:20]).model_.config
    assert (config.model.width, config.training.batch_size) == (32, 8)
    assert config.masking.schemes == {"decoding": 1.0}


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_examples_of_docstrings_say_what_happens(name: str) -> None:
    module = importlib.import_module(f"neuroduet.estimators.{name}")
    assert doctest.testmod(module) == (0, 5)


def test_probabilities_of_continuous_behaviour_are_refused() -> None:
    model = Decoder(bin_size_s=0.05, settings=BRIEF).fit(COUNTS[:20], VELOCITY[:20])
    with pytest.raises(UserError, match="no behaviour has classes"):
        model.predict_proba(COUNTS[NEW])
