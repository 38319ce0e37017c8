"""Ready configurations, each citing where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

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

    Small, quick on one CPU core, with data-driven low-rank stitchers, and trained on the schemes
    of NEDS and MtM together: one set of weights encodes, decodes and predicts activity from
    activity. ``neuroduet train --preset duet``.
    """
    return Config()


MTM_SCHEMES = ("neuron", "causal", "intra_region", "inter_region")
"""The four schemes of MtM, drawn equally often."""


def mtm(schemes: Sequence[str] = MTM_SCHEMES, prompts: bool = True) -> Config:
    """MtM, corrected: spikes alone, masked across time, units and regions (NDT1-stitch).

    The transformer of `duet` without behaviours, told by a prompt which question is asked. It has
    `duet`'s size; the published one (MtM, section 3.1) is for GPUs: add ``--set model.width=512
    model.layers=5 model.heads=8 model.feed_forward=1024``. ``neuroduet train --preset mtm``.

    Args:
        schemes: Masking schemes, drawn equally often.
        prompts: Whether the model is told which question is asked.
    """
    return Config(
        preset="mtm",
        masking=MaskingConfig(schemes=dict.fromkeys(schemes, 1.0)),
        model=ModelConfig(behaviours=False, prompts=prompts),
    )


def ndt1(scheme: str) -> Config:
    """A spikes-only model trained with one scheme, as the rows of MtM's Table 1."""
    config = mtm((scheme,), prompts=scheme == "causal")
    return config.model_copy(update={"preset": f"ndt1_{scheme}"})


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


def _published_training(epochs: int, learning_rate: float) -> TrainingConfig:
    """The optimiser that the published code of NEDS and MtM shares."""
    return TrainingConfig(
        max_epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=0.01,
        betas=(0.9, 0.999),
        warmup=0.15,
        cycle_momentum=True,
        clip=None,
        ema=0.0,
        select="mean",
        threads=None,
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
        masking=MaskingConfig(kind="published", schemes=dict.fromkeys(NEDS_SCHEMES, 1.0)),
        model=ModelConfig(
            name="neds_published",
            width=256,
            layers=layers,
            heads=8,
            feed_forward=512,
            dropout=0.4,
        ),
        loss=LossConfig(kind="published"),
        training=_published_training(2000, 2e-4),
    )


def ndt2() -> Config:
    """NDT2 with the masking schemes and prompts of MtM, on space-time patches of 64 units.

    Small enough for a CPU; the published size (MtM, section 3.2) is for GPUs: add ``--set
    model.width=512 model.layers=5 model.heads=8 model.feed_forward=1024 model.patch=128
    model.dropout=0.4``. ``neuroduet train --preset ndt2``.
    """
    return Config(
        preset="ndt2",
        masking=MaskingConfig(schemes=dict.fromkeys(MTM_SCHEMES, 1.0), hide_visible=0.0),
        model=ModelConfig(name="ndt2", behaviours=False, prompts=True, patch=64),
        training=TrainingConfig(learning_rate=1e-3, threads=None),
    )


def mtm_faithful() -> Config:
    """MtM as published (NDT1-stitch), to compare with: its masks, summed loss and optimiser.

    Section 3 of arXiv 2407.14668 and its code: AdamW with one-cycle and momentum cycling, no
    clipping, hidden counts read as zero, mask ratio 0.3 (0.6 for ``causal``), and the weights of
    the best mean validation score. Only what was wrong is mended
    (:mod:`neuroduet.models.mtm_published`). ``neuroduet train --preset mtm_faithful``.
    """
    return Config(
        preset="mtm_faithful",
        data=DataConfig(windows=WindowConfig(behaviour_grid="right")),
        masking=MaskingConfig(
            kind="published", schemes=dict.fromkeys(MTM_SCHEMES, 1.0), hide_visible=0.0
        ),
        model=ModelConfig(
            name="mtm_published",
            behaviours=False,
            prompts=True,
            hidden_units="zero",
            width=512,
            layers=5,
            heads=8,
            feed_forward=1024,
            dropout=0.4,
        ),
        loss=LossConfig(kind="published"),
        training=_published_training(1000, 1e-4),
    )


def poyo() -> Config:
    """POYO as a decoder, to compare with: every spike a token, read by a small set of latents.

    A small model of arXiv 2310.16046 for a CPU; on a GPU add ``--set model.width=128
    model.layers=6 model.heads=8``. With a hundred trials it learns them by heart within a few
    hundred steps: units and bins are hidden to delay that. ``neuroduet train --preset poyo``.
    """
    return Config(
        preset="poyo",
        masking=MaskingConfig(schemes={"decoding": 1.0}, hide_visible=0.2),
        model=ModelConfig(name="poyo", width=64, layers=2, dropout=0.2, unit_dropout=0.5),
        training=TrainingConfig(learning_rate=1e-3),
    )


PRESETS: dict[str, Callable[[], Config]] = {
    "duet": duet,
    "mtm": mtm,
    **{f"ndt1_{scheme}": partial(ndt1, scheme) for scheme in ("temporal", *MTM_SCHEMES)},
    "neds": neds,
    "neds_faithful": neds_faithful,
    "mtm_faithful": mtm_faithful,
    "ndt2": ndt2,
    "poyo": poyo,
}
