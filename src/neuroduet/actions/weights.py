"""How much a frame of each class counts in a loss."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def class_weights(counts: Int[np.ndarray, " K"], power: float = 1.0) -> Float[np.ndarray, " K"]:
    """Weights that let rare classes count as much as frequent ones.

    Args:
        counts: Labelled frames of each class, ``(K,)``.
        power: 1 balances the classes, 0 leaves every frame alike, 0.5 stands between.

    Returns:
        ``(largest count / count) ** power``, ``(K,)``; 0 for a class without a labelled frame.

    Example:
        >>> class_weights(np.array([0, 300, 350, 706])).round(4).tolist()
        [0.0, 2.3533, 2.0171, 1.0]
    """
    present = counts > 0
    ratios = counts.max(initial=0) / np.where(present, counts, 1)
    return np.where(present, ratios**power, 0.0)
