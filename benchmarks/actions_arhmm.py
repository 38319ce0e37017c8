"""How fast the hidden Markov models infer and fit, and in how much memory.

Run ``python benchmarks/actions_arhmm.py`` (Linux). Forward-backward with all pairwise sums takes
turns with a loop over frames in plain NumPy, which gives the same, and with hmmlearn where it is
installed; the ratio is the median over turns. Then an autoregressive model is fitted to a long
simulated recording, with progress; the peak is the most memory that the process ever held less
what it held just before the fit, the recording included.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from neuroduet.actions.frames import Frames
from neuroduet.actions.hmm import ARHMM, ARHMMOptions
from neuroduet.actions.hmm.inference import smooth_pieces


def main() -> None:
    """Compare inference, then fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--states", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    console = Console()
    for states in (4, given.states):
        compare(console, states, given.turns)
    fit(console, given)


def compare(console: Console, states: int, turns: int, frames: int = 30_000) -> None:
    """Take turns at forward-backward."""
    rng = np.random.default_rng(0)
    initial = np.full(states, 1 / states)
    transition = 0.05 * rng.dirichlet(np.ones(states), size=states) + 0.95 * np.eye(states)
    scores = rng.normal(0, 3, (frames, states))

    def blocks() -> tuple[float, np.ndarray]:
        parts = list(smooth_pieces(initial, transition, lambda i, j: scores[i:j], [frames]))
        return sum(p.log_likelihood for p in parts), np.sum([p.pairs for p in parts], axis=0)

    def loop() -> tuple[float, np.ndarray]:
        return frame_by_frame(initial, transition, scores)

    runs: dict[str, Callable[[], object]] = {"frame by frame": loop}
    runs |= hmmlearn_run(initial, transition, scores)
    assert all(np.allclose(a, b) for a, b in zip(blocks(), loop(), strict=True))
    times = [
        (seconds(blocks), {name: seconds(run) for name, run in runs.items()}) for _ in range(turns)
    ]
    own = statistics.median(mine for mine, _ in times) * 1e6 / frames
    console.print(f"{states} states: forward-backward takes {own:.2f} s per million frames")
    for name in runs:
        ratio = statistics.median(theirs[name] / mine for mine, theirs in times)
        console.print(f"  {name} takes {ratio:.1f} times as long")


def frame_by_frame(
    initial: np.ndarray, transition: np.ndarray, scores: np.ndarray
) -> tuple[float, np.ndarray]:
    """Log-likelihood and pairwise sums by a scaled loop over frames."""
    largest = scores.max(1)
    likelihoods = np.exp(scores - largest[:, None])
    filtered, factors = np.empty_like(scores), np.empty(len(scores))
    predicted = initial
    for t, row in enumerate(likelihoods):
        joint = predicted * row
        factors[t] = joint.sum()
        filtered[t] = joint / factors[t]
        predicted = filtered[t] @ transition
    backward = np.empty_like(scores)
    message = np.ones(len(initial))
    for t in range(len(scores) - 1, -1, -1):
        backward[t] = likelihoods[t] * message / factors[t]
        message = transition @ backward[t]
    pairs = transition * (filtered[:-1].T @ backward[1:])
    return float(np.log(factors).sum() + largest.sum()), pairs


def hmmlearn_run(
    initial: np.ndarray, transition: np.ndarray, scores: np.ndarray
) -> dict[str, Callable[[], object]]:
    """The compiled recursions of hmmlearn, if it is installed."""
    try:
        from hmmlearn import _hmmc
    except ImportError:
        return {}

    def run() -> object:
        likelihoods = np.exp(scores - scores.max(1, keepdims=True))
        _, forward, factors = _hmmc.forward_scaling(initial, transition, likelihoods)
        backward = _hmmc.backward_scaling(initial, transition, likelihoods, factors)
        return _hmmc.compute_scaling_xi_sum(forward, transition, backward, likelihoods)

    return {"hmmlearn": run}


def fit(console: Console, given: argparse.Namespace) -> None:
    """Fit an autoregressive model to one long recording."""
    values = switching_walk(given.frames, given.components, given.states)
    options = ARHMMOptions(
        components=given.components, restarts=1, iterations=given.iterations, tolerance=0.0
    )
    recording = Frames(features=values, labels=np.full(len(values), -1))
    before = held_bytes()
    start = time.perf_counter()
    with Progress(console=console) as progress:
        task = progress.add_task("EM")
        ARHMM.fit(
            [recording],
            given.states,
            options,
            0,
            lambda done, total, value: progress.update(
                task, completed=done, total=total, description=f"EM {value:.4f} nats per frame"
            ),
        )
    spent = time.perf_counter() - start
    console.print(
        f"{given.frames} frames, {given.components} components, {given.states} states: "
        f"{spent / given.iterations:.1f} s per iteration (start included), peak "
        f"{(peak_bytes() - before) / 2**20:.0f} MiB beyond the recording's "
        f"{values.nbytes / 2**20:.0f} MiB"
    )


def switching_walk(frames: int, components: int, states: int) -> np.ndarray:
    """A walk with a drift that switches, drawn towards 0."""
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(0, states, frames // 50 + 1), 50)[:frames]
    pushes = rng.normal(0, 0.3, (states, components))[state]
    pushes += rng.normal(0, 0.1, (frames, components))
    values = np.empty((frames, components), np.float32)
    place = np.zeros(components)
    for t in range(frames):
        place = 0.9 * place + pushes[t]
        values[t] = place
    return values


def held_bytes() -> int:
    """Memory that the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """Most memory that the process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
