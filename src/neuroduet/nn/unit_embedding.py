"""Stitchers of many units from few numbers each: what all sessions share is learnt once.

A row of each rank for every unit is most of a model of many sessions. Here a unit has one short
vector, and two matrices that belong to the core turn the vectors of all sessions into rows.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class UnitEmbedding(nn.Module):
    """One vector per unit, and the matrices that make rows of input and output stitchers from it.

    ``weight = vectors @ to_input``, ``loadings = vectors @ to_output / sensitivity``: an input
    weight counts in units of a unit's noise, a loading in log-rates, which are the more sensitive
    the higher the rate. An entry of the vectors starts as a direction of the input alone (one of
    those that decode behaviour), of the output alone (tuning to behaviour), or of both.

    Args:
        size: Numbers per unit, E.
        ranks: Of the input and of the output stitcher.
        own: Entries that start as directions of the input alone; as many are of the output alone.
    """

    def __init__(self, size: int, ranks: tuple[int, int], own: int) -> None:
        super().__init__()
        self.own = own
        self.to_input = nn.Parameter(torch.zeros(size, ranks[0]))
        self.to_output = nn.Parameter(torch.zeros(size, ranks[1]))
        self.vectors = nn.ParameterDict()
        with torch.no_grad():
            for matrix, skipped in ((self.to_input, 0), (self.to_output, own)):
                entries = [*range(skipped, skipped + own), *range(2 * own, size)]
                for column, entry in enumerate(entries[: matrix.shape[1]]):
                    matrix[entry, column] = 1.0

    def add(self, key: str, units: int) -> None:
        """Make room for a session's units; their vectors start at random."""
        size = len(self.to_input)
        self.vectors[key] = nn.Parameter(torch.randn(units, size) * 0.1 / math.sqrt(size))

    def weight(self, key: str) -> Float[Tensor, "N R"]:
        """A session's input weight, in single precision: its Gram matrix is to be inverted."""
        with torch.autocast(self.to_input.device.type, enabled=False):
            return self.vectors[key] @ self.to_input

    def loadings(self, key: str, sensitivity: Float[Tensor, " N"]) -> Float[Tensor, "N R"]:
        """A session's output loadings.

        Args:
            key: Key of the session.
            sensitivity: By how much of its noise each unit changes per unit of its read-out.
        """
        return self.vectors[key] @ self.to_output / sensitivity[:, None]

    @torch.no_grad()
    def fit(
        self,
        key: str,
        weight: Float[Tensor, "N P"],
        loadings: Float[Tensor, "N Q"],
        sensitivity: Float[Tensor, " N"],
    ) -> None:
        """Set a session's vectors to those that come nearest to wanted rows (least squares).

        Input and output weigh alike; what neither determines stays as it is.

        Args:
            key: Key of the session.
            weight: Wanted input weight, of the first P columns; others may become what they will.
            loadings: Wanted output loadings.
            sensitivity: By how much of its noise each unit changes per unit of its read-out.
        """
        vectors, scaled = self.vectors[key], loadings * sensitivity[:, None]
        sizes = [max(float(x.square().mean().sqrt()), 1e-6) for x in (weight, scaled)]
        to_input = self.to_input[:, : weight.shape[1]]
        both = torch.cat([to_input / sizes[0], self.to_output / sizes[1]], dim=1)
        missing = torch.cat([weight / sizes[0], scaled / sizes[1]], dim=1) - vectors @ both
        # Double precision and this driver: matrices may be rank-deficient.
        change = torch.linalg.lstsq(both.T.double(), missing.T.double(), driver="gelsd").solution
        vectors += change.T.float()
