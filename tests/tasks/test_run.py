"""A run on disk, evaluated, embedded and predicted: real recordings, real (untrained) models."""

from __future__ import annotations

import inspect
import io
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from planted import Silent

from neuroduet import metrics
from neuroduet.config import Config, from_mapping
from neuroduet.data.arrays import from_arrays
from neuroduet.data.recording import save
from neuroduet.data.session import open_sessions
from neuroduet.errors import UserError
from neuroduet.masking import hide, to_masks
from neuroduet.models import build
from neuroduet.plain import file_name
from neuroduet.tasks import GROUPS, TASKS
from neuroduet.tasks import run as scoring_runs
from neuroduet.tasks.evaluate import Evaluation
from neuroduet.tasks.export import npz_bytes
from neuroduet.tasks.run import (
    embed,
    evaluate,
    score_baselines,
    score_table,
    unit_table,
    write_predictions,
)
from neuroduet.training.runs import load_run, save_model
from neuroduet.training.state import MEAN
from neuroduet.types import NEURAL

COLUMNS = ["model", "session", "task", "target", "metric", "value", "n", "null", "oracle", "split"]


def write_recording(folder: Path, name: str, file: str, units: int, seed: int = 0) -> None:
    """Thirty trials of unequal length whose counts follow a behaviour."""
    generator = np.random.default_rng(seed)
    bins = generator.integers(5, 9, 30)
    speed = [generator.normal(size=n).astype(np.float32) for n in bins]
    gains = generator.normal(size=units)
    counts = [generator.poisson(np.exp(0.3 + 0.5 * np.outer(x, gains))) for x in speed]
    recording = from_arrays(
        session_id=name,
        counts=counts,
        bin_size_s=0.05,
        behaviours={"speed": speed, "choice": generator.integers(0, 2, 30)},
        units={"region": [("CA1", "VISp")[i % 2] for i in range(units)]},
        split=["train"] * 14 + ["valid"] * 6 + ["test"] * 10,
    )
    save(recording, folder / file)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_recording(folder, "mouse 1", "mouse 1.h5", units=12, seed=1)
    write_recording(folder, "mouse2", "mouse2.h5", units=14, seed=2)
    write_recording(folder, "stranger", "stranger.h5", units=5, seed=3)
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path) -> Path:
    """A run folder of a small model that was never trained."""
    config = from_mapping({"model": {"width": 16, "layers": 1, "heads": 2, "feed_forward": 16}})
    sessions = open_sessions(data, config.data, ["mouse 1", "mouse2"])
    torch.manual_seed(0)
    model = build(config.model, [session.info for session in sessions])
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    save_model(tmp_path / "run", config, model, [(MEAN, weights)])
    return tmp_path / "run"


def test_a_run_is_scored_on_the_sessions_it_knows(run: Path, data: Path) -> None:
    table = evaluate(run, data)
    assert list(table.columns) == COLUMNS
    assert set(table.task) == set(TASKS)
    assert set(table.session) == {"mouse 1", "mouse2"}
    assert set(table[table.task == "encoding_from"].target) == {"speed", "choice"}
    assert table.value.notna().all()
    written = pd.read_csv(run / "scores.csv")
    pd.testing.assert_frame_equal(written, table)
    units = pd.read_parquet(run / "scores_units.parquet")
    bits = units[(units.task == "encoding") & (units.metric == "bits_per_spike")]
    assert bits.groupby("session").size().to_dict() == {"mouse 1": 12, "mouse2": 14}
    mean = table[(table.task == "encoding") & (table.metric == "bits_per_spike")]
    for session, values in bits.groupby("session").value:
        assert mean.set_index("session").value[session] == pytest.approx(values.mean())


def test_scores_of_one_session_do_not_depend_on_the_others(run: Path, data: Path) -> None:
    both = evaluate(run, data, tasks=["encoding", "decoding"])
    one = evaluate(run, data, sessions=["mouse2"], tasks=["encoding", "decoding"])
    chosen = both[both.session == "mouse2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, chosen)


def test_the_table_is_written_where_asked(run: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "table.csv"
    evaluate(run, data, tasks=["decoding"], out=out)
    assert set(pd.read_csv(out).task) == {"decoding"}
    assert list(pd.read_parquet(out.with_name("table_units.parquet")).columns)[:2] == [
        "model",
        "session",
    ]
    assert not (run / "scores.csv").exists()


def test_a_session_the_run_has_not_seen_must_be_finetuned_first(run: Path, data: Path) -> None:
    (run / "scores.csv").write_text("kept")
    with pytest.raises(UserError, match="not seen session 'stranger'.*finetune"):
        evaluate(run, data, sessions=["stranger"])
    with pytest.raises(UserError, match="no recording in .*found stranger.*finetune"):
        evaluate(run, data / "stranger.h5")
    assert (run / "scores.csv").read_text() == "kept"


def test_a_wrong_task_is_named_before_the_run_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown task 'regoins'; did you mean 'regions'"):
        evaluate(tmp_path / "nothing", tmp_path, tasks=["regoins"])


def test_a_recording_with_other_units_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_recording(other, "mouse2", "mouse2.h5", units=13)
    with pytest.raises(UserError, match="has 13 units, which are not the 14"):
        evaluate(run, other, sessions=["mouse2"])


def test_predictions_are_those_of_the_model_for_every_window(
    run: Path, data: Path, tmp_path: Path
) -> None:
    files = write_predictions(run, data, tmp_path / "predictions")
    assert [path.parent for path in files] == [tmp_path / "predictions"] * 2
    model = load_run(run)
    for session, path in zip(
        open_sessions(data, Config().data, ["mouse 1", "mouse2"]), files, strict=True
    ):
        batch = session.batch(np.arange(30))
        masks = to_masks(batch, hide(batch, {NEURAL: True}))
        want = model.predict(batch, masks, "encoding").activity.numpy()
        with np.load(path, allow_pickle=False) as found:
            np.testing.assert_array_equal(found["valid"], batch.valid.numpy())
            np.testing.assert_array_equal(found["split"], session.windows.split)
            np.testing.assert_array_equal(found["trial"], np.arange(30))
            np.testing.assert_array_equal(found["start_s"], session.windows.start_s)
            assert tuple(found["units"]) == session.info.units
            assert found["bin_size_s"] == 0.05
            valid = found["valid"]
            np.testing.assert_allclose(
                found["encoding/log_rates"][valid], want[valid], rtol=1e-4, atol=1e-5
            )
            assert found["decoding/speed"].shape == (*valid.shape, 1)
            np.testing.assert_allclose(found["decoding/choice"].sum(axis=1), 1.0, rtol=1e-5)
            np.testing.assert_array_equal(found["classes/choice"], [0, 1])


def test_scores_can_be_recomputed_from_the_predictions(
    run: Path, data: Path, tmp_path: Path
) -> None:
    write_predictions(run, data, tmp_path / "predictions")
    table = evaluate(run, data, ["mouse2"], ["encoding", "decoding"])
    (session,) = open_sessions(data, Config().data, ["mouse2"])
    with np.load(tmp_path / "predictions" / "mouse2.npz", allow_pickle=False) as found:
        test = found["split"] == "test"
        batch = session.batch(np.arange(30))
        counts, valid = batch.activity.numpy()[test], found["valid"][test]
        bits = metrics.bits_per_spike(np.exp(found["encoding/log_rates"][test]), counts, valid)
        guesses = found["decoding/choice"][test].argmax(axis=1)
    scores = table.set_index(["target", "metric"]).value
    assert scores["spikes", "bits_per_spike"] == pytest.approx(bits, rel=1e-4)
    labels = batch.behaviours["choice"].numpy()[test]
    assert scores["choice", "accuracy"] == (labels == guesses).mean()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_embeddings_are_written_one_row_per_unit(run: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"units{suffix}"
    table = embed(run, out)
    read = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
    assert list(read.columns[:4]) == ["session", "unit", "region", "e0"]
    assert read.groupby("session").size().to_dict() == {"mouse 1": 12, "mouse2": 14}
    assert list(read.region[:3]) == ["CA1", "VISp", "CA1"]
    want = load_run(run).embeddings()["mouse2"]
    columns = [f"e{i}" for i in range(want.shape[1])]
    np.testing.assert_allclose(table[table.session == "mouse2"][columns], want)
    np.testing.assert_allclose(read[read.session == "mouse2"][columns], want, rtol=1e-5)


def test_embeddings_in_an_unknown_format_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end it in \.csv or \.parquet"):
        embed(run, tmp_path / "units.pkl")
    assert not (tmp_path / "units.pkl").exists()


def test_baselines_are_scored_by_the_same_loop(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "baselines.csv"
    table = score_baselines(data, out, ["mouse2"])
    assert set(table.task) == {"encoding", "decoding", *GROUPS["activity"]}
    encoding, decoding = table[table.task == "encoding"], table[table.task == "decoding"]
    assert {"mean_rate", "psth", "reduced_rank", "poisson_glm"} <= set(encoding.model)
    assert {"ridge", "logistic"} <= set(decoding.model)
    pd.testing.assert_frame_equal(pd.read_csv(out), table)
    bits = encoding[encoding.metric == "bits_per_spike"].set_index("model").value
    assert bits["poisson_glm"] > 0.05 > bits["mean_rate"]


def test_baselines_without_a_file_write_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scoring_runs, "fit_baselines", lambda session, networks: [Silent()])
    assert list(score_baselines(data, sessions=["mouse2"]).columns) == COLUMNS
    assert list(tmp_path.iterdir()) == []


def test_tables_without_rows_keep_their_columns() -> None:
    nothing = Evaluation(scores=[], units=[])
    assert list(score_table(nothing).columns) == COLUMNS
    assert "rate_hz" in unit_table(nothing).columns


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a/b", "a\\b", "", ".", "..", "a b", "\x00", "é", ".hidden"]
)
def test_unsafe_ids_become_safe_file_names(name: str) -> None:
    safe = file_name(name)
    assert Path(safe).name == safe
    assert not safe.startswith(".")
    assert safe.isascii()
    assert not set(safe) & set("/\\ \x00")


def test_different_ids_have_different_files() -> None:
    names = ["a/b", "a_b", "a b", "a//b", ".a", "a"]
    assert len({file_name(name) for name in names}) == len(names)
    assert file_name("sub-01_ses-2.a") == "sub-01_ses-2.a"


def test_predicted_activity_is_stored_as_it_is_and_the_rest_is_packed() -> None:
    arrays = {
        "encoding/log_rates": np.zeros((9, 9, 9), np.float32),
        "true/counts": np.zeros((9, 9, 9), np.float32),
        "decoding/speed": np.zeros(99),
        "units": np.array(["a"] * 99),
    }
    content = npz_bytes(arrays)
    assert content == npz_bytes(arrays)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        plain = [one.filename for one in archive.infolist() if one.compress_type == 0]
    assert plain == ["encoding/log_rates.npy"]
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        for name, values in arrays.items():
            np.testing.assert_array_equal(found[name], values)


def test_objects_are_not_pickled() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        npz_bytes({"a": np.array([None], dtype=object)})


def test_everything_public_stands_in_one_module() -> None:
    for name in scoring_runs.__all__:
        assert inspect.isfunction(inspect.unwrap(getattr(scoring_runs, name)))
