"""One model for every question against specialists of its size: `duet` against `neds` and `mtm`.

Run ``python benchmarks/union.py --out FOLDER`` (simulated session) or with ``--data FILE`` (a
recording). All train for the same minutes on one thread: `duet` on all schemes over spikes and
behaviours, `neds` and `mtm` in the same architecture on their own schemes alone, and `neds` in its
published arrangement of tokens. Test trials are scored once, beside the best tuned linear
baseline. "Behind" says by how much `duet` is behind the better specialist, where it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from side_by_side import run_all

from neuroduet.config import Config, load_config, override
from neuroduet.presets import NEDS_SCHEMES, duet, mtm, neds
from neuroduet.simulate import simulate
from neuroduet.tasks.run import evaluate, score_baselines
from neuroduet.tasks.task import ActivityOptions
from neuroduet.training.fit import train

TASKS = ["activity", "encoding", "decoding"]
METRICS = ("bits_per_spike", "r2", "accuracy")
LINEAR = (
    "reduced_rank_units",
    "reduced_rank_past",
    "poisson_glm",
    "reduced_rank",
    "psth",
    "ridge",
    "logistic",
)


def neds_fused() -> Config:
    """The schemes of NEDS in the architecture of `duet`."""
    schemes = "{" + ", ".join(f"{name}: 1" for name in NEDS_SCHEMES) + "}"
    return override(duet(), [f"masking.schemes={schemes}"])


MODELS: dict[str, Callable[[], Config]] = {
    "duet": duet,
    "mtm": mtm,
    "neds, fused": neds_fused,
    "neds": neds,
}


def main() -> None:
    """Parse the arguments, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="a recording; simulated if not given")
    parser.add_argument("--config", type=Path, help="YAML file, e.g. with data.windows")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0, help="per run, one thread")
    parser.add_argument("--world", type=int, default=7)
    parser.add_argument("--folds", type=int, help="of units; one by one if not given")
    given = parser.parse_args()
    data = given.data or given.out / "data"
    if not data.exists():
        simulate(data, 1, given.world, "medium")
    jobs: list[tuple[Callable[..., Path], tuple]] = [
        (_fit, (name, seed, data, given.out, given.minutes, given.config, given.folds))
        for seed in range(given.seeds)
        for name in MODELS
    ]
    run_all([*jobs, (_linear, (data, given.out, given.config))])
    scores = _collect(given.out)
    scores.to_csv(given.out / "scores.csv", index=False)
    Console().print(_table(scores))


def _configured(base: Config, path: Path | None) -> Config:
    return base if path is None else load_config(path, base)


def _fit(
    name: str,
    seed: int,
    data: Path,
    out: Path,
    minutes: float,
    config: Path | None,
    folds: int | None,
) -> Path:
    """Train and score one run, unless that is done already."""
    run = out / "runs" / f"{name.replace(', ', '_')}-{seed}"
    if not (run / "scores.csv").exists():
        settings = ["training.max_epochs=100000", f"training.max_minutes={minutes}"]
        settings += ["training.threads=1", f"training.seed={seed}"]
        if not (run / "model" / "config.json").exists():
            train(override(_configured(MODELS[name](), config), settings), data, run)
        # NEDS hardly learns from single units; asking it about each would take an hour.
        folds = 10 if name == "neds" else folds
        evaluate(run, data, tasks=TASKS, options=ActivityOptions(folds=folds))
    return run


def _linear(data: Path, out: Path, config: Path | None) -> Path:
    path = out / "linear.csv"
    if not path.exists():
        score_baselines(data, path, config=_configured(duet(), config))
    return path


def _collect(out: Path) -> pd.DataFrame:
    parts = [pd.read_csv(out / "linear.csv")]
    for name in MODELS:
        paths = sorted(out.glob(f"runs/{name.replace(', ', '_')}-*/scores.csv"))
        parts += [pd.read_csv(path).assign(model=name) for path in paths]
    table = pd.concat(parts, ignore_index=True)
    return table[table.metric.isin(METRICS) & ~table.target.str.contains("[", regex=False)]


def _table(scores: pd.DataFrame) -> Table:
    """Mean over seeds; rows are questions."""
    table = Table(title="Test trials")
    columns = [*MODELS, "best linear", "null", "oracle", "behind specialists", "above linear"]
    for column in ("question", *columns):
        table.add_column(column)
    questions = scores[["task", "target", "metric"]].drop_duplicates().itertuples(index=False)
    for task, target, metric in questions:
        if metric == "r2" and target in ("spikes",):
            continue
        chosen = (scores.task == task) & (scores.target == target) & (scores.metric == metric)
        rows = scores[chosen]
        means = rows.groupby("model").value.mean()
        linear = means[means.index.intersection(LINEAR)].max()
        rivals = means[means.index.intersection(["mtm", "neds, fused", "neds"])].max()
        own = means.get("duet", float("nan"))
        cells = [means.get(name, float("nan")) for name in MODELS]
        cells += [linear, rows.null.mean(), rows.oracle.mean()]
        cells += [max(rivals - own, 0.0), own - linear]
        name = f"{task} {target}" if metric != "accuracy" else f"{task} {target} accuracy"
        table.add_row(name, *("-" if cell != cell else f"{cell:.3f}" for cell in cells))
    return table


if __name__ == "__main__":
    main()
