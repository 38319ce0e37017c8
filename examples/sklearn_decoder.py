"""Decoding in the manner of scikit-learn: cross-validated, beside ridge, from arrays alone.

Units of a made-up motor cortex are tuned to the velocity of a hand by curves that bend.

    python examples/sklearn_decoder.py              # 90 seconds; --small for a quick look
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.ndimage import gaussian_filter1d as smooth
from sklearn.base import BaseEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from neuroduet import Decoder


def simulate(trials: int, units: int, bins: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Counts ``(trials, bins, units)`` and the velocity ``(trials, bins, 2)`` behind them."""
    draw = np.random.default_rng(0)
    velocity = 3 * smooth(draw.normal(size=(trials, bins, 2)), 3, axis=1)
    log_rates = 1.5 * np.cos(velocity @ draw.normal(size=(2, units)) + draw.uniform(0, 6, units))
    return draw.poisson(np.exp(log_rates - 1)), velocity


class LaggedRidge(BaseEstimator):
    """Ridge on the counts of a bin and of three bins on either side."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> LaggedRidge:  # noqa: D102
        self.ridge_ = Ridge(alpha=100.0).fit(self._rows(X), y.reshape(-1, y.shape[2]))
        return self

    def score(self, X: np.ndarray, y: np.ndarray) -> float:  # noqa: D102
        return self.ridge_.score(self._rows(X), y.reshape(-1, y.shape[2]))

    def _rows(self, X: np.ndarray) -> np.ndarray:
        padded = np.pad(X, ((0, 0), (3, 3), (0, 0)))
        lags = [padded[:, lag : lag + X.shape[1]] for lag in range(7)]
        return np.concatenate(lags, axis=2).reshape(-1, 7 * X.shape[2])


def main() -> None:
    """Cross-validate both decoders and print their scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few trials and a small model")
    small = parser.parse_args().small
    counts, velocity = simulate(*((60, 20) if small else (300, 80)))
    size = {"model.width": 32, "model.heads": 2, "model.layers": 1} if small else {}
    settings = size | {"training.max_epochs": 40, "masking.schemes": {"decoding": 1.0}}
    for name, model in (("ridge", LaggedRidge()), ("duet", Decoder(settings=settings))):
        found = cross_val_score(model, counts, velocity, cv=3, error_score="raise")
        print(f"{name:6} {found.mean():.3f} +- {found.std():.3f}")


if __name__ == "__main__":
    main()
