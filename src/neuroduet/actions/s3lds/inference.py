"""What observations say of classes and latents: q(y | x) and q(z | x, y).

Shape letters as in :mod:`~neuroduet.actions.s3lds.generative`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from neuroduet.actions.networks.backbones import SLOPE, Backbone, DilatedTCN
from neuroduet.actions.s3lds.generative import map_between
from neuroduet.actions.s3lds.options import LatentOptions


class Inferred(NamedTuple):
    """What is inferred of every frame.

    Attributes:
        logits: Of q(y | x); ``(B, T, K)``.
        mean: Of q(z | x, y = k); ``(B, T, K, M)``.
        log_variance: The same.
    """

    logits: Float[Tensor, "B T K"]
    mean: Float[Tensor, "B T K M"]
    log_variance: Float[Tensor, "B T K M"]


class FramePerceptron(Backbone):
    """One hidden layer that sees a single frame."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(pad=0, width=outputs)
        self.layers = map_between(inputs, outputs, hidden)

    def core(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T H"]:
        """Outputs of every frame."""
        return self.layers(x)


def backbone(inputs: int, outputs: int, options: LatentOptions, descending: bool) -> Backbone:
    """A network over frames: dilated convolutions, or a perceptron per frame."""
    if options.inference == "mlp":
        return FramePerceptron(inputs, options.hidden, outputs)
    return DilatedTCN(
        inputs,
        options.hidden,
        outputs,
        layers=options.layers,
        lags=options.lags,
        dropout=options.dropout,
        descending=descending,
    )


class PerClassEncoder(nn.Module):
    """q(z | x, y) as published: the class is an input; all classes run as one batch.

    Attributes:
        trunk: Observations and class to latents.
        mean: Linear map to the mean.
        log_variance: Linear map to the log-variance.
        classes: Number of classes.
    """

    def __init__(self, features: int, classes: int, latents: int, options: LatentOptions) -> None:
        super().__init__()
        self.classes = classes
        self.trunk = backbone(features + classes, latents, options, descending=False)
        self.mean = nn.Linear(latents, latents)
        self.log_variance = nn.Linear(latents, latents)

    def forward(
        self, x: Float[Tensor, "B S D"]
    ) -> tuple[Float[Tensor, "B T K M"], Float[Tensor, "B T K M"]]:
        """Mean and log-variance under every class, of all frames but the context."""
        windows, frames = x.shape[:2]
        every = torch.eye(self.classes, dtype=x.dtype, device=x.device)
        indicator = every[:, None, None].expand(-1, windows, frames, -1)
        both = torch.cat([x.expand(self.classes, -1, -1, -1), indicator], -1).flatten(0, 1)
        hidden = self.trunk.core(both).unflatten(0, (self.classes, windows)).movedim(0, 2)
        return self.mean(hidden), self.log_variance(hidden)

    def shrink(self, scale: float, log_variance: float) -> None:
        """Scale what the mean depends on, and set the log-variance; how training may start."""
        with torch.no_grad():
            self.mean.weight.mul_(scale)
            self.mean.bias.zero_()
            self.log_variance.weight.mul_(scale)
            self.log_variance.bias.fill_(log_variance)


class SharedEncoder(nn.Module):
    """q(z | x, y) from one trunk for all classes; the class is added behind it.

    Attributes:
        trunk: Observations to hidden units.
        classes: What each class adds to them; ``(K, H)``.
        out: Linear map to mean and log-variance.
    """

    def __init__(self, features: int, classes: int, latents: int, options: LatentOptions) -> None:
        super().__init__()
        self.trunk = backbone(features, options.hidden, options, descending=False)
        self.classes = nn.Parameter(torch.randn(classes, options.hidden) * 0.1)
        self.out = nn.Linear(options.hidden, 2 * latents)

    def forward(
        self, x: Float[Tensor, "B S D"]
    ) -> tuple[Float[Tensor, "B T K M"], Float[Tensor, "B T K M"]]:
        """Mean and log-variance under every class, of all frames but the context."""
        hidden = functional.leaky_relu(self.trunk.core(x)[:, :, None] + self.classes, SLOPE)
        mean, log_variance = self.out(hidden).chunk(2, -1)
        return mean, log_variance

    def shrink(self, scale: float, log_variance: float) -> None:
        """Scale what the mean depends on, and set the log-variance; how training may start."""
        with torch.no_grad():
            self.out.weight.mul_(scale)
            self.out.bias.zero_()
            self.out.bias.chunk(2)[1].fill_(log_variance)


ENCODERS: dict[str, type[PerClassEncoder] | type[SharedEncoder]] = {
    "per_class": PerClassEncoder,
    "shared": SharedEncoder,
}


class InferenceNetwork(nn.Module):
    """Classifier and encoder.

    Attributes:
        classifier: Observations to logits of the classes.
        encoder: Observations to the latents under every class.
        components: Linear part of the latents' mean, the same under every class, which begins as
            principal components; ``None``: there is none.
        pad: Frames at both ends of a window that are context only.
    """

    def __init__(self, features: int, classes: int, latents: int, options: LatentOptions) -> None:
        super().__init__()
        self.classifier = backbone(features, classes, options, descending=True)
        self.encoder = ENCODERS[options.encoder](features, classes, latents, options)
        self.components: nn.Linear | None = None
        if options.start == "components":
            self.components = nn.Linear(features, latents, bias=False)
        self.pad = options.pad

    def forward(self, x: Float[Tensor, "B S D"]) -> Inferred:
        """Infer the frames of windows, less the context of ``pad`` frames at both ends."""
        logits = self.classifier.core(x)
        mean, log_variance = self.encoder(x)
        if self.components is not None:
            core = x[:, self.pad : x.shape[1] - self.pad]
            mean = mean + self.components(core)[:, :, None]
        return Inferred(logits, mean, log_variance)
