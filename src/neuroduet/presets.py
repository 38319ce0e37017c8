"""Ready configurations, each citing where it comes from."""

from __future__ import annotations

from collections.abc import Callable

from neuroduet.config import (
    Config,
    DataConfig,
    LossConfig,
    MaskingConfig,
    ModelConfig,
    TrainingConfig,
    WindowConfig,
)

NEDS_SCHEMES = ("encoding", "decoding", "self_spike", "self_behaviour", "random_token")
"""The five schemes of NEDS, drawn equally often."""


def duet() -> Config:
    """Our default: all modalities fused into one token per time bin.

    Small, quick on one CPU core, with data-driven low-rank stitchers; encoding from single
    behaviours is trained too, so that asking for it is nothing new. ``neuroduet train --preset
    duet``.
    """
    return Config()


def neds(layers: int = 5) -> Config:
    """NEDS, corrected: one token per modality and bin, one per trial variable.

    Sizes of NEDS, section 3.3 of arXiv 2504.08201's code: 5 layers for up to 10 sessions, 16 for
    up to 69, 22 above. ``neuroduet train --preset neds``.
    """
    return Config(
        preset="neds",
        masking=MaskingConfig(schemes=dict.fromkeys(NEDS_SCHEMES, 1.0), hide_visible=0.0),
        model=ModelConfig(tokens="separate", width=256, layers=layers, heads=8, feed_forward=512),
        training=TrainingConfig(learning_rate=5e-4, threads=None),
    )


def neds_faithful(layers: int = 5) -> Config:
    """NEDS as published, to compare with: 500 tokens, its masks, losses and optimiser.

    AdamW with one-cycle and momentum cycling, no clipping, mask ratio 0.3, and the weights of the
    best mean validation score. Only what never worked is mended
    (:mod:`neuroduet.models.neds_published`). ``neuroduet train --preset neds_faithful``.
    """
    return Config(
        preset="neds_faithful",
        data=DataConfig(windows=WindowConfig(behaviour_grid="right")),
        masking=MaskingConfig(kind="published"),
        model=ModelConfig(
            name="neds_published",
            width=256,
            layers=layers,
            heads=8,
            feed_forward=512,
            dropout=0.4,
        ),
        loss=LossConfig(kind="published"),
        training=TrainingConfig(
            max_epochs=2000,
            learning_rate=2e-4,
            weight_decay=0.01,
            betas=(0.9, 0.999),
            warmup=0.15,
            cycle_momentum=True,
            clip=None,
            ema=0.0,
            select="mean",
            threads=None,
        ),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "duet": duet,
    "neds": neds,
    "neds_faithful": neds_faithful,
}
