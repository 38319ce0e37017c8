"""From recordings in the benchmark's layout to its own scorer: the numbers are ours."""

from __future__ import annotations

import warnings
import zipfile

import numpy as np
import pytest
import torch

from neuroduet.benchmark import (
    SUITES,
    aggregate,
    predict_suite,
    read_submission,
    score_submission,
    stage_benchmark,
    write_submission,
    write_truth,
)
from neuroduet.benchmark.aggregate import FileScore
from neuroduet.benchmark.decode import choose_share, mix_rates, whole_logits
from neuroduet.benchmark.runs import last_bins_of
from neuroduet.cli.submit import remarks, submit
from neuroduet.errors import UserError
from neuroduet.types import Behaviour

WHY = "ibl-bwb-eval is not installed: pip install --no-deps ibl-bwb-eval==0.1.0"


@pytest.fixture(scope="module")
def submitted(published, runs, tmp_path_factory):
    """A submission to a suite, and our scores of it."""
    made = {}

    def of(suite):
        if suite not in made:
            path = tmp_path_factory.mktemp("zips") / f"{suite}.zip"
            entries = write_submission(path, "mine", predict_suite(runs(suite), suite, published))
            made[suite] = path, entries, score_submission(path, published)
        return made[suite]

    return of


def official_scores(suite, folder, truth):
    """What the benchmark's own scorer says, by task, recording, seed and metric."""
    pytest.importorskip("ibl_bwb_eval", reason=WHY)
    from ibl_bwb_eval.scoring import aggregation, ts1, ts2, ts3

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(Average precision|No positive|The variance)")
        raw = {"ts1": ts1, "ts2": ts2, "ts3": ts3}[suite].score_dir(folder, truth)
    if suite == "ts3":
        raw = aggregation.from_ts3(raw, task="ts3-unit_cosmos")
    flat = {}
    for key, values in raw.items():
        _, task, *recording, seed = key
        for metric, value in values.items():
            flat[task, "".join(recording), seed, metric] = value
    return flat, aggregation.aggregate_over_seeds(raw)


@pytest.mark.parametrize("suite", SUITES)
def test_the_official_scorer_reads_a_submission_and_finds_our_numbers(
    suite, published, submitted, tmp_path
):
    path, entries, scores = submitted(suite)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "predictions")
    truth = tmp_path / "truth"
    write_truth(published, suite, truth)
    expected, reported = official_scores(suite, tmp_path / "predictions", truth)
    ours = {(s.task, s.recording, s.seed, s.metric): s.value for s in scores}
    assert ours.keys() == expected.keys()
    for place, value in expected.items():
        assert ours[place] == pytest.approx(value, rel=2e-4, abs=2e-4), place
    for one in aggregate(scores):
        mean, sem, seeds = reported["mine", one.task][one.metric]
        assert (one.mean, one.sem, one.seeds) == pytest.approx((mean, sem, seeds), abs=2e-4)
    assert len({place[:3] for place in expected}) == len(entries)


def test_every_task_recording_and_seed_is_in_a_submission(submitted):
    for suite, count in (("ts1", 8 * 2 * 2), ("ts2", 2 * 2 * 2), ("ts3", 2)):
        _, entries, _ = submitted(suite)
        assert len(entries) == count
        assert {entry.seed for entry in entries} == {43, 44}


def test_a_run_decodes_movement_better_than_its_mean_and_units_better_than_their_rates(submitted):
    pearson = [s.value for s in submitted("ts1")[2] if s.metric == "pearson"]
    assert np.mean(pearson) > 0.3
    bits = [
        s.value for s in submitted("ts2")[2] if s.task == "ts2-co_smoothing" and s.metric == "bps"
    ]
    assert np.mean(bits) > 0


def test_predictions_do_not_know_what_is_asked(published, runs, tmp_path):
    """Silencing hidden units, late bins and behaviour changes no prediction of them."""
    from neuroduet.benchmark.layout import find_benchmark, held_out_units
    from neuroduet.data.recording import load, save

    one = runs("ts2")[:1]
    before = {e.place: e for e in predict_suite(one, "ts2", published)}
    file = find_benchmark(published, "eval")[0]
    folder = tmp_path / "eval"
    folder.mkdir()
    with load(file, lazy=False) as recording:
        hidden = held_out_units(recording, "test")
        start = recording.ts2_test_domain.start[0]
        kept = ~(hidden[recording.spikes.unit_index] & (recording.spikes.timestamps > start))
        recording.spikes = recording.spikes.select_by_mask(kept)
        save(recording, folder / file.name)
    for after in predict_suite(one, "ts2", tmp_path):
        same = torch.equal(
            before[after.place].tensors["predictions"], after.tensors["predictions"]
        )
        assert same == (after.task == "ts2-co_smoothing")


def test_context_reaches_the_predictions_of_a_run_that_was_trained_with_it(
    published, small, tmp_path
):
    from neuroduet.config import override
    from neuroduet.presets import mtm
    from neuroduet.training.fit import train

    stage_benchmark(published, "ts2", tmp_path / "ready", context_s=2.0)
    run = train(override(mtm(), small), tmp_path / "ready", tmp_path / "run")
    found = list(predict_suite([run], "ts2", published))
    assert {e.tensors["predictions"].shape[1] for e in found} == {5, 50}
    path = tmp_path / "x.zip"
    write_submission(path, "x", found)
    assert all(np.isfinite(s.value) for s in score_submission(path, published))


def test_the_command_writes_scores_and_says_what_is_missing(published, runs, tmp_path, capsys):
    out = tmp_path / "mine.zip"
    submit(runs=runs("ts2"), suite="ts2", data=published, out=out, label="mine")
    printed = capsys.readouterr()
    assert "ts2-co_smoothing" in printed.out
    assert "poisson_d2 *" in printed.out
    assert "8 predictions are in" in printed.out
    assert "seeds are 43, 44; the benchmark reports 43 to 47" in printed.err
    assert len(list(read_submission(out))) == 8


def test_an_incomplete_submission_is_told_by_task(published, submitted):
    entries = [e for e in submitted("ts1")[1] if e.task != "ts1-choice"]
    assert any("ts1-choice has 0 of 4" in text for text in remarks(entries, "ts1", published))


def test_runs_that_do_not_fit_are_refused(published, runs, ready, tmp_path):
    with pytest.raises(UserError, match="decodes no behaviour"):
        list(predict_suite(runs("ts2"), "ts1", published))
    with pytest.raises(UserError, match="not a finished run"):
        list(predict_suite([tmp_path], "ts2", published))
    with pytest.raises(UserError, match="does not know recording|knows no recording"):
        list(predict_suite(runs("ts2"), "ts3", published))
    with pytest.raises(UserError, match="cannot be used for ts2"):
        list(predict_suite(runs("ts2"), "ts2", ready("ts2")))
    other = tmp_path / "other"
    from neuroduet.simulate.brainwide import simulate_brainwide

    simulate_brainwide(other, 1, 0, seed=99, units=6)
    with pytest.raises(UserError, match="knows none of the 1 recordings"):
        list(predict_suite(runs("ts2"), "ts2", other))


def test_a_submission_of_other_recordings_is_not_scored(published, submitted, tmp_path):
    from neuroduet.simulate.brainwide import simulate_brainwide

    simulate_brainwide(tmp_path, 1, 0, seed=99, units=6)
    with pytest.raises(UserError, match="does not hold"):
        score_submission(submitted("ts2")[0], tmp_path)


def test_classes_that_a_run_has_never_seen_are_unlikely_and_the_others_keep_their_order():
    behaviour = Behaviour(
        name="stimulus_contrast", source="", kind="categorical", per="trial", size=3,
        classes=(0.0, 2.0, 4.0),
    )  # fmt: skip
    logits = whole_logits(np.array([[1.0, 3.0, 2.0]], dtype=np.float32), behaviour, 5)
    assert logits.argsort(axis=1).tolist()[0][-3:] == [0, 4, 2]
    assert (logits[0, [1, 3]] == -20).all()
    assert np.exp(logits).sum() == pytest.approx(1, abs=1e-6)


def test_rates_stay_positive_and_are_held_to_the_mean_when_they_say_nothing():
    generator = np.random.default_rng(0)
    counts = generator.poisson(0.2, 2000).astype(float)
    noise = generator.normal(0.2, 0.3, 2000)
    assert choose_share(noise, counts, 0.2) >= 0.7
    rates = np.where(np.arange(2000) % 2, 0.02, 0.6)
    assert choose_share(rates, generator.poisson(rates).astype(float), 0.31) <= 0.1
    assert choose_share(noise[:0], counts[:0], 0.2) == 1.0
    assert (mix_rates(np.array([-1.0, 0.0]), 0.0, 0.2) > 0).all()


def test_the_last_bins_of_padded_windows_are_their_last_recorded_ones():
    values = torch.arange(12.0).reshape(2, 6, 1)
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    assert last_bins_of(values, valid, 2)[:, :, 0].tolist() == [[4, 5], [8, 9]]


def test_scores_name_the_file_they_come_from(submitted):
    score = submitted("ts2")[2][0]
    assert isinstance(score, FileScore)
    assert score.task.startswith("ts2-")
    assert score.recording
