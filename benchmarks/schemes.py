"""What each masking scheme teaches: the table of MtM's single-session comparison (its Table 1).

Run ``python benchmarks/schemes.py --out FOLDER``. It simulates a session of several regions with
private latents, trains the same spikes-only transformer on each masking scheme alone and on all of
MtM's schemes, without and with prompts, for the same steps on one thread each, and scores the test
trials once: bits per spike in the four activity tasks (units hidden in ten folds), and behaviour
decoded from frozen features. Beside them stand the tuned linear baselines and the oracle, which
knows the rates the spikes were drawn from. A stopped benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from side_by_side import run_all

from neuroduet.config import Config, override
from neuroduet.presets import MTM_SCHEMES, mtm, ndt1
from neuroduet.simulate import simulate
from neuroduet.tasks.run import evaluate, score_baselines
from neuroduet.tasks.task import ActivityOptions
from neuroduet.training.fit import train

ROWS: dict[str, Callable[[], Config]] = {
    **{scheme: lambda scheme=scheme: ndt1(scheme) for scheme in ("temporal", *MTM_SCHEMES)},
    "mtm without prompts": lambda: mtm(prompts=False),
    "mtm": mtm,
}
COLUMNS = {
    ("co_smoothing", "spikes", "bits_per_spike"): "co-smoothing",
    ("forward", "spikes", "bits_per_spike"): "forward",
    ("intra_region", "spikes", "bits_per_spike"): "intra-region",
    ("inter_region", "spikes", "bits_per_spike"): "inter-region",
    ("decoding", "choice", "accuracy"): "choice",
    ("decoding", "whisker", "r2"): "whisker",
}
FOLDS = ActivityOptions(folds=10)
LINEAR = ("reduced_rank_units", "reduced_rank_past", "ridge", "logistic")


def main() -> None:
    """Parse the arguments, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1200, help="per run; some 3 minutes")
    parser.add_argument("--size", default="medium")
    parser.add_argument("--world", type=int, default=7, help="seed of the simulated world")
    parser.add_argument("--memory", type=float, default=4.0, help="of the private latents")
    given = parser.parse_args()
    data = given.out / "data"
    if not data.exists():
        simulate(data, given.sessions, given.world, given.size, memory=given.memory)
    names = sorted(path.stem for path in data.glob("*.h5"))[: given.sessions]
    jobs: list[tuple[Callable[..., Path], tuple]] = [
        (_fit, (row, data, given.out, name, given.steps)) for name in names for row in ROWS
    ]
    run_all([*jobs, *((_linear, (data, given.out, name)) for name in names)])
    scores = _collect(given.out, names)
    scores.to_csv(given.out / "scores.csv", index=False)
    Console().print(_table(scores))


def _fit(row: str, data: Path, out: Path, name: str, steps: int) -> Path:
    """Train and score one run, unless that is done already."""
    run = out / "runs" / f"{name}-{row.replace(' ', '_')}"
    if not (run / "scores.csv").exists():
        settings = ["training.max_epochs=100000", f"training.max_steps={steps}"]
        config = override(ROWS[row](), [*settings, "training.threads=1"])
        if not (run / "model" / "config.json").exists():
            train(config, data, run, [name])
        evaluate(run, data, [name], ["activity", "decoding"], options=FOLDS)
    return run


def _linear(data: Path, out: Path, name: str) -> Path:
    path = out / "linear" / f"{name}.csv"
    if not path.exists():
        score_baselines(data, path, [name], options=FOLDS)
    return path


def _collect(out: Path, names: list[str]) -> pd.DataFrame:
    parts = [pd.read_csv(out / "linear" / f"{name}.csv") for name in names]
    for name in names:
        for row in ROWS:
            path = out / "runs" / f"{name}-{row.replace(' ', '_')}" / "scores.csv"
            parts.append(pd.read_csv(path).assign(model=row))
    return pd.concat(parts, ignore_index=True)


def _table(scores: pd.DataFrame) -> Table:
    """Means over sessions; the best linear baseline of each column, and the oracle."""
    table = Table(title="Test trials")
    table.add_column("trained on")
    found = {}
    for key, title in COLUMNS.items():
        table.add_column(title)
        own = scores[(scores[["task", "target", "metric"]] == list(key)).all(axis=1)]
        found[title] = own.groupby("model").value.mean()
        found[title]["oracle"] = own.oracle.mean()
        linear = found[title][found[title].index.intersection(LINEAR)]
        found[title]["best linear"] = linear.max() if len(linear) else float("nan")
    for row in (*ROWS, "best linear", "mean_rate", "oracle"):
        cells = [found[title].get(row, float("nan")) for title in found]
        table.add_row(row, *("-" if cell != cell else f"{cell:.3f}" for cell in cells))
    return table


if __name__ == "__main__":
    main()
