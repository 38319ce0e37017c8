"""One recording as a segmenter's model sees it: features and labels, frame by frame.

Shape letters of this room: ``T`` frames of a recording, ``D`` features, ``K`` classes or states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Features and labels of one recording.

    Attributes:
        features: Finite and standardised; ``(T, D)`` float32.
        labels: Class of every frame, 0 to K-1, :data:`~neuroduet.types.UNLABELLED` where nobody
            said; ``(T,)``.
        weak: Labels of a heuristic or of another model, in the same coding; they count only where
            ``labels`` says nothing. ``None``: there are none.
    """

    features: Float[np.ndarray, "T D"]
    labels: Int[np.ndarray, " T"]
    weak: Int[np.ndarray, " T"] | None = None
