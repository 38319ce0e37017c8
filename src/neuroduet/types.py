"""The values that travel between rooms, and the legend of their dimensions.

Shape letters, used in annotations and in the suffixes of tensor names:

======  =====================================================================
``B``   windows (samples) in a batch; a batch holds windows of one session
``T``   time bins of a window
``N``   units of the session (its own number; units are never padded)
``C``   channels of one continuous behaviour
``K``   classes of one categorical behaviour
``L``   tokens seen by the transformer
``Q``   questions about units, each hiding some of them
``D``   model width
``R``   rank of a low-rank stitcher
``S``   sessions
``W``   windows of a session
======  =====================================================================

In dictionaries keyed by modality the neural activity is called :data:`NEURAL`, every behaviour by
its own name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

NEURAL = "activity"
"""Key of the neural modality in masks, losses and predictions."""

UNLABELLED = -1
"""Label of a frame or trial that nobody annotated; it never enters a loss or a metric."""

NO_REGION = frozenset({"", "unknown", "none", "nan", "void", "root"})
"""Labels (lower case) that say that a unit's region is not known; such units form no region."""

NeuralKind = Literal["spikes", "counts", "traces"]
BehaviourKind = Literal["continuous", "categorical"]
Per = Literal["bin", "trial"]
Split = Literal["train", "valid", "test"]


def is_region(label: str) -> bool:
    """Whether a unit's label names a brain region, and not that none is known.

    Example:
        >>> is_region("CA1"), is_region("Unknown"), is_region("")
        (True, False, False)
    """
    return label.strip().lower() not in NO_REGION


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What a model needs to know about one behaviour.

    Attributes:
        name: The behaviour's own name, e.g. ``wheel``.
        source: Where a recording holds it, ``group.field``: ``wheel.wheel_speed``.
        kind: ``continuous`` (real numbers) or ``categorical`` (classes).
        per: ``bin`` (a value in every time bin) or ``trial`` (one value for the whole window).
        size: Number of channels C (continuous) or of classes K (categorical).
        classes: The original values of the classes, in class order; empty if continuous.
    """

    name: str
    source: str
    kind: BehaviourKind
    per: Per
    size: int
    classes: tuple[str | int | float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """What a model needs to know about a session before it has seen any of its data.

    Attributes:
        id: Session id; the key of the session's stitchers.
        subject: Subject id.
        neural: Kind of neural activity; ``spikes`` and ``counts`` share a Poisson likelihood.
        units: Unit ids, in the order of the N axis.
        regions: Region of each unit, or ``None`` when the recording does not say.
        behaviours: The behaviours this session has.
        bin_size_s: Width of a time bin (s).
        max_bins: Largest number of bins T of any window.
    """

    id: str
    subject: str
    neural: NeuralKind
    units: tuple[str, ...]
    regions: tuple[str, ...] | None
    behaviours: tuple[Behaviour, ...]
    bin_size_s: float
    max_bins: int

    @property
    def is_poisson(self) -> bool:
        """Whether the activity is counted events (Poisson) rather than continuous traces."""
        return self.neural != "traces"


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows of one session, binned.

    Attributes:
        session: Session id.
        activity: Spike counts per bin, or traces; ``(B, T, N)``. Zero where ``valid`` is false.
        valid: Which bins exist: ragged windows are padded at their end.
        behaviours: By name: ``(B, T, C)`` or ``(B, C)`` floats in the user's units (continuous),
            ``(B, T)`` or ``(B,)`` integer class indices (categorical). Zero where not observed.
        observed: By name: ``(B, T)`` or ``(B,)``; false where the value is missing or padding.
        windows: Index of each window in its session's window table.
    """

    session: str
    activity: Float[Tensor, "B T N"]
    valid: Bool[Tensor, "B T"]
    behaviours: dict[str, Tensor]
    observed: dict[str, Bool[Tensor, "B ..."]]
    windows: Int[Tensor, " B"]


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What may be seen and what is scored, per modality.

    For :data:`NEURAL` the masks broadcast to ``(B, T, N)``: whole bins are ``(B, T, 1)``, whole
    units ``(B, 1, N)``. For behaviours they are ``(B, T)`` (per bin) or ``(B,)`` (per trial).
    ``scored`` is already restricted to observed values in valid bins. ``prompt`` says which
    question is asked, as an index into :data:`neuroduet.masking.PROMPTS`, -1 for none.
    """

    visible: dict[str, Bool[Tensor, "B ..."]]
    scored: dict[str, Bool[Tensor, "B ..."]]
    prompt: Int[Tensor, " B"] | None = None


@dataclass(frozen=True, kw_only=True)
class UnitQuestions:
    """Questions about single units: each hides some for whole windows and asks about some of them.

    Co-smoothing has one question per unit (or fold of units), inter-region prediction one per
    region; no unit is asked about twice.

    Attributes:
        hidden: True where a question hides a unit.
        scored: True where a question asks about a unit; only hidden ones are asked about.
    """

    hidden: Bool[Tensor, "Q N"]
    scored: Bool[Tensor, "Q N"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says about a batch.

    Attributes:
        activity: Natural log of the expected count per bin (Poisson), or the expected trace;
            ``(B, T, N)``; ``None`` if the model does not predict activity.
        behaviours: By name: expected value in the user's units, ``(B, T, C)`` or ``(B, C)``
            (continuous), or class logits ``(B, T, K)`` or ``(B, K)`` (categorical).
    """

    activity: Float[Tensor, "B T N"] | None
    behaviours: dict[str, Float[Tensor, "B ..."]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Training statistics that make the losses of different modalities comparable.

    Attributes:
        is_poisson: Whether the activity is counts.
        activity: Mean count per bin (Poisson) or standard deviation (traces) of each unit.
        behaviours: Standard deviation of each continuous behaviour's channels.
    """

    is_poisson: bool
    activity: Float[Tensor, " N"]
    behaviours: dict[str, Float[Tensor, " C"]]


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of a score table.

    Attributes:
        model: Name of the model or baseline.
        session: Session id.
        task: ``encoding``, ``decoding``, ``regions`` ...
        target: What was predicted: ``spikes``, a behaviour, ``region`` ...
        metric: Name of the metric; :data:`neuroduet.metrics.DEFINITIONS` says what it means.
        value: The number.
        n: How many values it was computed from.
        null: What the metric reads for a model that knows nothing (``nan`` if not defined).
        oracle: What the best possible model reads, known for simulated data only (else ``nan``).
        split: The split it was computed on.
    """

    model: str
    session: str
    task: str
    target: str
    metric: str
    value: float
    n: int
    null: float = float("nan")
    oracle: float = float("nan")
    split: str = "test"


@runtime_checkable
class Predictor(Protocol):
    """Anything the evaluation loop can score: a model, an ensemble, a baseline, an oracle."""

    @property
    def name(self) -> str:
        """Name in score tables."""
        ...

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict the scored modalities (the keys of ``masks.scored``) from the visible ones.

        Args:
            batch: Windows of one session, holding true values everywhere.
            masks: What may be used and what will be scored.
            task: Name of the task, for predictors that keep weights per task.

        Returns:
            Predictions of at least those scored modalities this predictor can answer; the others
            are left out.
        """
        ...
