"""Options of the networks, one class per family, and the settings that were published."""

from __future__ import annotations

from pydantic import Field

from neuroduet.actions.lags import Windows
from neuroduet.actions.model import ModelOptions


class NetworkOptions(ModelOptions):
    """What all networks share; the defaults are for a few CPU cores.

    Attributes:
        hidden: Hidden units.
        layers: Blocks or layers.
        windows: Lengths (frames, odd) of centred windows whose mean and standard deviation are
            added to the features: a view of half a minute that costs less than many layers.
        dropout: Of channels (TCN) or of hidden units.
        members: Networks fitted from consecutive seeds; their probabilities are averaged.
        window: Frames of a training window, context not counted.
        batch: Windows of a training step.
        steps: Training steps; ``None``: such that every frame is seen about ``epochs`` times,
            within bounds that keep small data from being learnt too little and large data too
            long.
        epochs: How often a frame is seen, where ``steps`` is ``None``; there are at least 300
            steps and at most 3,000 all the same.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        average: Decay of the running mean of the weights, which is what predicts; 0 uses the last
            weights.
        class_weight_power: Weight of a class is (most frequent / its frames) to this power.
        balance: Classes are drawn as centres of windows in proportion to their labelled frames to
            the power 1 - ``balance``.
        centred: Share of windows placed around labelled frames; others lie anywhere.
        smoothing: Weight of the truncated squared change of log-probabilities; .15 in MS-TCN.
            Bouts much shorter than the context of a network lose by it.
        smooth_unlabelled: Whether unlabelled frames are smoothed too. Where labels are sparse this
            spreads them beyond their bouts.
        label_smoothing: Probability spread over all classes in training.
        noise: Standard deviation of noise added to the standardised features in training.
        holdout: Share of labelled windows that choose when to stop; used only where enough are
            left to learn from. 0 uses all labels and the whole budget.
        patience: Looks at the held-out windows without a better loss before training stops.
        weak_weight: Weight of the weak labels' own read-out.
        pseudo_labels: Whether confident predictions for unlabelled frames become weak labels.
        pseudo_threshold: Probability from which a prediction is confident.
        pseudo_start: Fraction of the steps from which there are pseudo-labels.
        pseudo_end: Fraction of the steps from which weak labels have their full weight, where
            there are pseudo-labels.
        prediction_weight: Weight of predicting the features of the next frame.
    """

    hidden: int = Field(32, ge=1)
    layers: int = Field(2, ge=1)
    windows: Windows = ()
    dropout: float = Field(0.3, ge=0, lt=1)
    members: int = Field(1, ge=1)
    window: int = Field(200, ge=2)
    batch: int = Field(16, ge=1)
    steps: int | None = Field(None, ge=1)
    epochs: float = Field(30, gt=0)
    learning_rate: float = Field(3e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    average: float = Field(0.99, ge=0, lt=1)
    class_weight_power: float = Field(0.5, ge=0)
    balance: float = Field(0.5, ge=0, le=1)
    centred: float = Field(0.8, ge=0, le=1)
    smoothing: float = Field(0.0, ge=0)
    smooth_unlabelled: bool = False
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    noise: float = Field(0.3, ge=0)
    holdout: float = Field(0.0, ge=0, lt=1)
    patience: int = Field(5, ge=1)
    weak_weight: float = Field(0.5, ge=0)
    pseudo_labels: bool = False
    pseudo_threshold: float = Field(0.9, gt=0, le=1)
    pseudo_start: float = Field(0.25, ge=0, le=1)
    pseudo_end: float = Field(0.5, ge=0, le=1)
    prediction_weight: float = Field(0.0, ge=0)


class MLPOptions(NetworkOptions):
    """Options of the temporal multi-layer perceptron.

    Attributes:
        lags: Frames to each side that it sees.
    """

    lags: int = Field(4, ge=0)


class RecurrentOptions(NetworkOptions):
    """Options of LSTM and GRU: many short windows, for a step costs by its frames in sequence.

    Attributes:
        bidirectional: Whether frames to come count too.
        context: Frames of warm-up on each side of a window.
    """

    window: int = Field(64, ge=2)
    batch: int = Field(50, ge=1)
    bidirectional: bool = True
    context: int = Field(24, ge=0)


class LSTMOptions(RecurrentOptions):
    """Options of the LSTM."""


class GRUOptions(RecurrentOptions):
    """Options of the GRU."""


class TCNOptions(NetworkOptions):
    """Options of the dilated TCN.

    Attributes:
        lags: Frames to each side that a kernel spans, times its dilation.
    """

    lags: int = Field(4, ge=0)


class MSTCNOptions(NetworkOptions):
    """Options of the multi-stage TCN.

    A window's context grows with ``stages * (2**layers - 1)`` frames: deep stages want long
    windows.

    Attributes:
        stages: The first reads features, each other one refines the probabilities before it.
    """

    layers: int = Field(5, ge=1)
    window: int = Field(400, ge=2)
    batch: int = Field(8, ge=1)
    smoothing: float = Field(0.15, ge=0)
    stages: int = Field(3, ge=1)


def published_tcn() -> TCNOptions:
    """The TCN of the paper: windows of 1000, batch 8, Adam 1e-4, no class weights, 500 epochs."""
    return TCNOptions(
        dropout=0.1,
        window=1000,
        batch=8,
        epochs=500,
        learning_rate=1e-4,
        weight_decay=0,
        average=0,
        class_weight_power=0,
        balance=0,
        centred=0,
        noise=0,
    )


def published_ms_tcn() -> MSTCNOptions:
    """MS-TCN as published: 4 stages of 10 layers and 64 maps, dropout .5, Adam 5e-4, batch 16."""
    return MSTCNOptions(
        hidden=64,
        layers=10,
        stages=4,
        dropout=0.5,
        window=1000,
        batch=16,
        epochs=100,
        learning_rate=5e-4,
        weight_decay=0,
        average=0,
        class_weight_power=0,
        balance=0,
        centred=0,
        noise=0,
    )
