"""Principal axes of rows, along which ridge regression with any penalty is one division.

With more columns than rows nothing is lost: a penalised solution lies in the space the rows span.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PENALTIES = tuple(10.0 ** (power / 2) for power in range(2, -15, -1))
"""Ridge penalties over the summed squares of all columns; among equals the strongest is chosen."""

SMALLEST_ENERGY = 1e-10
"""Axes with less than this share of the largest energy are rounding errors."""

ROWS = 4096
"""Rows that are in double precision at once."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Orthonormal principal axes of rows, the strongest last, in double precision.

    ``centre`` is the mean row, ``energy`` the summed squares of centred rows along each axis.
    """

    centre: Float[Tensor, " P"]
    axes: Float[Tensor, "P R"]
    energy: Float[Tensor, " R"]

    def of(self, rows: Float[Tensor, "M P"]) -> Float[Tensor, "M R"]:
        """Centred rows along the axes."""
        return _product((rows - self.centre).T, self.axes)

    def ridge(
        self, rows: Float[Tensor, "M P"], values: Float[Tensor, "M Q"]
    ) -> Float[Tensor, "A R Q"]:
        """Ridge weights along the axes at all :data:`PENALTIES`.

        Args:
            rows: The rows that the axes are those of.
            values: What is predicted, less its mean over the rows.
        """
        moment = self.axes.T @ _product(rows - self.centre, values)
        penalties = torch.tensor(PENALTIES, dtype=self.energy.dtype) * self.energy.sum()
        return moment / (self.energy[:, None] + penalties[:, None, None])


def principal_axes(rows: Float[Tensor, "M P"]) -> Axes:
    """Axes along which rows vary, by one eigendecomposition of the smaller Gram matrix."""
    centre = rows.mean(dim=0)
    centred = rows - centre
    wide = rows.shape[1] > rows.shape[0]
    across = centred.T if wide else centred
    energy, vectors = torch.linalg.eigh(_product(across, across))
    kept = energy > SMALLEST_ENERGY * energy[-1]
    # One axis stays where nothing varies: no fit has to do without columns.
    kept[-1] = True
    energy, vectors = energy[kept].clamp_min(1e-30), vectors[:, kept]
    axes = _product(centred, vectors) / energy.sqrt() if wide else vectors
    return Axes(centre=centre, axes=axes, energy=energy)


def _product(left: Float[Tensor, "M P"], right: Float[Tensor, "M Q"]) -> Float[Tensor, "P Q"]:
    """``left' right`` in double precision, some rows at a time."""
    found = torch.zeros(left.shape[1], right.shape[1], dtype=torch.float64)
    for rows, others in zip(left.split(ROWS), right.split(ROWS), strict=True):
        found += rows.double().T @ others.double()
    return found
