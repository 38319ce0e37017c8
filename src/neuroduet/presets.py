"""Ready configurations, each citing where it comes from."""

from __future__ import annotations

from collections.abc import Callable

from neuroduet.config import Config, LossConfig, MaskingConfig, ModelConfig, TrainingConfig


def duet() -> Config:
    """Our default: all modalities fused into one token per time bin.

    Small, quick on one CPU core, with data-driven low-rank stitchers. ``neuroduet train --preset
    duet``.
    """
    return Config(preset="duet", masking=MaskingConfig(hide_visible=0.1))


def neds(layers: int = 5) -> Config:
    """NEDS, corrected: one token per modality and bin, one per trial variable.

    Sizes of NEDS, section 3.3 of arXiv 2504.08201's code: 5 layers for up to 10 sessions, 16 for
    up to 69, 22 above. ``neuroduet train --preset neds``.
    """
    return Config(
        preset="neds",
        model=ModelConfig(tokens="separate", width=256, layers=layers, heads=8, feed_forward=512),
        training=TrainingConfig(learning_rate=5e-4),
    )


PRESETS: dict[str, Callable[[], Config]] = {"duet": duet, "neds": neds}
