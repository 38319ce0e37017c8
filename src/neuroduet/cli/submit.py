"""The commands of the brain-wide benchmark: ``neuroduet benchmark`` and ``neuroduet submit``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroduet.console import counted, print_table, working, write, write_json
from neuroduet.errors import UserError
from neuroduet.options import SUITE_NAMES, AsJson, OutDir, OutFile, among

if TYPE_CHECKING:
    from neuroduet.benchmark.aggregate import FileScore, Reported
    from neuroduet.benchmark.submission import Entry

Suite = Annotated[
    str,
    typer.Option(
        "--suite",
        metavar="SUITE",
        help="ts1 (behaviour), ts2 (activity), ts3.",
        autocompletion=among(SUITE_NAMES),
    ),
]
Published = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Benchmark recordings, as they are published."),
]


def benchmark(
    data: Published,
    suite: Suite,
    out: OutDir,
    context: Annotated[
        float,
        typer.Option("--context", metavar="S", help="Length of a window, 1 to 20 seconds."),
    ] = 1.0,
    pretrain: Annotated[
        bool, typer.Option("--pretrain", help="Add the pretraining recordings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prepare recordings of the IBL brain-wide benchmark."""
    from neuroduet.benchmark.layout import find_benchmark
    from neuroduet.benchmark.staging import stage_benchmark

    regimes = ("eval", "pretrain") if pretrain else ("eval",)
    count = sum(len(find_benchmark(data, regime)) for regime in regimes)
    done = itertools.count(1)
    with counted("recordings") as report:
        written = stage_benchmark(
            data,
            suite,
            out,
            context_s=context,
            regimes=regimes,
            report=lambda path: report(next(done), count, float("nan")),
        )
    if as_json:
        write_json({"files": written})
        return
    many = "1 recording is" if len(written) == 1 else f"{len(written)} recordings are"
    write(f"{many} ready in {out}; train with --data {out}")


def submit(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders; each seed is a run of its own."),
    ],
    suite: Suite,
    data: Published,
    out: OutFile,
    label: Annotated[
        str, typer.Option("--label", metavar="NAME", help="Name on the leaderboard.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write and score a submission to that benchmark."""
    from neuroduet.benchmark.aggregate import aggregate
    from neuroduet.benchmark.runs import predict_suite
    from neuroduet.benchmark.scores import score_submission
    from neuroduet.benchmark.submission import write_submission
    from neuroduet.benchmark.suites import check_suite

    check_suite(suite)
    if out.is_dir():
        raise UserError(f"{out} is a folder; give the name of a zip file, such as {label}.zip")
    whole = len(runs) * entries_per_run(suite, data)
    with counted("predictions") as report:
        predicted = _watched(predict_suite(runs, suite, data), whole, report)
        entries = write_submission(out, label, predicted)
    with working("scoring"):
        found = aggregate(_shown(score_submission(out, data)))
    lacks = remarks(entries, suite, data)
    if as_json:
        write_json({"file": out, "predictions": len(entries), "scores": found, "lacks": lacks})
        return
    _print(found)
    for lack in lacks:
        write(lack, stderr=True)
    many = "1 prediction is" if len(entries) == 1 else f"{len(entries)} predictions are"
    write(f"{many} in {out}")


def _print(found: list[Reported]) -> None:
    from neuroduet.benchmark.suites import primary_metric

    rows = [
        (
            one.task,
            f"{one.metric}{' *' if one.metric == primary_metric(one.task) else ''}",
            f"{one.mean:.4f}",
            "-" if one.sem is None else f"{one.sem:.4f}",
            str(one.seeds),
        )
        for one in found
    ]
    print_table(("task", "metric (* ranked)", "mean", "sem", "seeds"), rows)


def entries_per_run(suite: str, data: Path) -> int:
    """How many predictions a run makes that knows all recordings.

    Args:
        suite: The suite.
        data: Folder of benchmark recordings.
    """
    from neuroduet.benchmark.layout import find_benchmark
    from neuroduet.benchmark.suites import SUITES

    files = 1 if suite == "ts3" else len(find_benchmark(data, "eval"))
    return files * len(SUITES[suite])


def _watched(
    entries: Iterator[Entry], count: int, report: Callable[[int, int, float], None]
) -> Iterator[Entry]:
    """The same entries, and how many of them there were so far."""
    for done, entry in enumerate(entries, start=1):
        report(done, count, float("nan"))
        yield entry


def remarks(entries: list[Entry], suite: str, data: Path) -> list[str]:
    """What a submission still lacks.

    Args:
        entries: What was submitted.
        suite: Its suite.
        data: Folder of benchmark recordings.

    Returns:
        One sentence for each lack.
    """
    from neuroduet.benchmark.suites import FEWEST_SEEDS, SEEDS, SUITES, task_id

    found = []
    seeds = sorted({entry.seed for entry in entries})
    if not set(seeds) <= set(SEEDS) or len(seeds) < FEWEST_SEEDS:
        found.append(
            f"seeds are {', '.join(map(str, seeds))}; the benchmark reports {SEEDS[0]} to "
            f"{SEEDS[-1]}, at least {FEWEST_SEEDS} of them (training.seed)"
        )
    files = entries_per_run(suite, data) // len(SUITES[suite])
    for task in SUITES[suite]:
        made = sum(entry.task == task_id(suite, task) for entry in entries)
        if made < files * len(seeds):
            found.append(
                f"{task_id(suite, task)} has {made} of {files * len(seeds)} predictions; a whole "
                "submission has one per recording and seed"
            )
    return found


def _shown(scores: list[FileScore]) -> list[FileScore]:
    """Without the scores of single regions."""
    return [s for s in scores if "/" not in s.metric or s.metric.startswith("macro/")]
