"""Options of the deep generative models: S3LDS, SLDS and GM-DGM."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from neuroduet.actions.hmm.options import ARHMMOptions
from neuroduet.actions.model import ModelOptions


class LatentOptions(ModelOptions):
    """What all of them share.

    Attributes:
        latents: Dimensions of the continuous latent; ``None``: as many principal components as
            explain 95 % of the variance, at most 8.
        inference: What q sees of a frame: dilated convolutions over the frames around it, or the
            frame alone.
        encoder: ``shared``: one trunk for all classes, the class added behind it; ``per_class``:
            as published, the class is an input and the trunk runs once per class.
        hidden: Channels of the inference networks.
        layers: Residual blocks of them.
        lags: Reach of a convolution to either side, times its dilation.
        dropout: Of channels, in the inference networks.
        noise: Standard deviation of the observations, in standardised units.
        decoder_hidden: Hidden units between latents and observations; 0: linear.
        start: ``components``: latents begin as principal components, and the networks correct
            them; ``random``: as published.
        extra_classes: Classes beyond the labelled ones, for behaviour that no label names.
        strong: Weight of the labels' cross-entropy.
        weak: Weight of the cross-entropy of weak labels where there are no others.
        reconstruction: Weight of the reconstruction.
        class_kl: Weight of what the classes cost, in frames without label (GM-DGM: in all).
        latent_kl: Weight of what the latents cost.
        balance: Weight of a term that keeps all classes in use; against collapse to one.
        window: Frames of a training window, besides its context.
        batch: Windows per step.
        steps: Steps of training; ``None``: 100 passes over the data, but 600 to 3000.
        learning_rate: Of Adam (amsgrad), at the start; it falls to a tenth.
        prior_speed: Learning rate of p(y, z), in units of that of the networks.
        centred: Share of windows drawn around a labelled frame, each class alike.
    """

    latents: int | None = Field(default=None, ge=1)
    inference: Literal["tcn", "mlp"] = "tcn"
    encoder: Literal["shared", "per_class"] = "shared"
    hidden: int = Field(default=32, ge=1)
    layers: int = Field(default=2, ge=1)
    lags: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    noise: float = Field(default=0.5, gt=0)
    decoder_hidden: int = Field(default=0, ge=0)
    start: Literal["components", "random"] = "components"
    extra_classes: int = Field(default=0, ge=0)
    strong: float = Field(default=1.0, ge=0)
    weak: float = Field(default=1.0, ge=0)
    reconstruction: float = Field(default=1.0, ge=0)
    class_kl: float = Field(default=1.0, ge=0)
    latent_kl: float = Field(default=0.1, ge=0)
    balance: float = Field(default=0.0, ge=0)
    window: int = Field(default=256, ge=2)
    batch: int = Field(default=8, ge=1)
    steps: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    prior_speed: float = Field(default=10.0, gt=0)
    centred: float = Field(default=0.5, ge=0, le=1)

    @property
    def pad(self) -> int:
        """Frames of context that the inference networks see to either side."""
        return 2 * self.lags * (2**self.layers - 1) if self.inference == "tcn" else 0


class SwitchingOptions(LatentOptions):
    """Options of the models with switching dynamics: S3LDS and SLDS.

    Attributes:
        transition_hidden: Hidden units between the last latent and the next class; 0: linear.
        dynamics_hidden: Hidden units between the last latent and the next one; 0: linear.
        overshoot: Predict the classes 2 and 3 frames ahead too, weighted 1/2 and 1/4.
        posterior: Where the responsibilities of frames without label come from. ``smoothed``: the
            best posterior of the chain of classes given latents, dynamics and labels, which the
            classifier learns; it begins as that of an autoregressive HMM. ``network``: as
            published, the classifier's own probabilities, without gradient.
        hmm: Options of that autoregressive HMM.
        renewals: How often in training the smoothed posterior is computed anew from the latents.
            Each costs a pass over the data; where the autoregressive HMM fits, they make it worse,
            because latents that are independent given the observations blur the dynamics.
        renew_after: Share of the steps before the first renewal.
        distil: Weight of the classifier's cross-entropy against the smoothed posterior; it is
            multiplied by how far that can be trusted, which part of the labels tell of the rest.
        remember: Whether the next class depends on the class before, not only on the latents;
            as published it does not.
        dynamics_trust: Weight of the latents' dynamics in the smoothed posterior. Above 1, because
            the variance of the dynamics makes up for latents that are inferred frame by frame.
        classifier_trust: Weight of the classifier's log-probabilities where it is smoothed to
            predict.
        anneal: Shares of the steps between which transitions and dynamics come in.
        decoding: What predicts: the ``classifier`` alone, or the chain of classes smoothed over
            the whole recording (``dynamics``), which combines it with transitions and dynamics,
            the latter as far as the labels show that they can be trusted.
    """

    transition_hidden: int = Field(default=0, ge=0)
    dynamics_hidden: int = Field(default=0, ge=0)
    overshoot: bool = False
    posterior: Literal["smoothed", "network"] = "smoothed"
    hmm: ARHMMOptions = ARHMMOptions()
    renewals: int = Field(default=0, ge=0)
    renew_after: float = Field(default=0.5, ge=0, le=1)
    distil: float = Field(default=1.0, ge=0)
    remember: bool = True
    dynamics_trust: float = Field(default=5.0, ge=0)
    classifier_trust: float = Field(default=1.0, ge=0)
    anneal: tuple[float, float] = (0.05, 0.3)
    decoding: Literal["classifier", "dynamics"] = "dynamics"


def published() -> SwitchingOptions:
    """S3LDS as published (Blau et al., 2024), with its sizes, weights and schedule.

    Batches are as small as in its runs on simulated data; corrected is what was wrong: frames are
    paired within a window only, and batches with or without labels have finite losses.
    """
    return SwitchingOptions(
        encoder="per_class",
        start="random",
        posterior="network",
        remember=False,
        strong=100.0,
        class_kl=10.0,
        prior_speed=1.0,
        window=500,
        batch=2,
        centred=0.0,
        decoding="classifier",
    )


class GMDGMOptions(LatentOptions):
    """Options of GM-DGM; those of all models."""


class SLDSOptions(SwitchingOptions):
    """Options of SLDS, which ignores labels; those of S3LDS."""
