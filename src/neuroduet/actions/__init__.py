"""Action segmentation: per-frame behaviour classes from pose or sensor features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroduet.actions.segmenter import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str) -> Any:
    """Import the face of the room when it is first asked for: parts of it need no model."""
    if name != "Segmenter":
        raise AttributeError(f"module 'neuroduet.actions' has no attribute '{name}'")
    from neuroduet.actions.segmenter import Segmenter

    return Segmenter


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
