"""One frozen configuration for a run: strict, printed resolved into the run folder.

Every default stands here once. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from neuroduet.errors import UserError, as_path, unsuitable
from neuroduet.plain import plain_name
from neuroduet.settings import Settings, changes, choices, merged, read_setting, refusal


def _odd_or_zero(bins: int) -> int:
    if bins and bins % 2 == 0:
        raise ValueError("a kernel has an odd number of bins, so that it is centred")
    return bins


_Momentum = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise refusal(error, type(self)) from None

    # So marked, it is for whoever calls it, and sections in sections are validated as ever.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def __setattr__(self, name: str, value: Any) -> None:
        place = ".".join((*_place_of(type(self)), name))
        raise UserError(
            f"a configuration is not changed in place; make another one with "
            f"override(config, {{'{place}': {value!r}}})"
        )


class WantedBehaviour(_Section):
    """A behaviour to use as a modality.

    Attributes:
        name: Name used in masks, scores and predictions.
        source: ``group.field`` of the recording; ``None`` takes the behaviour that the recording
            offers under this name.
        kind: ``continuous`` or ``categorical``; ``None`` as the recording says.
        per: ``bin`` or ``trial``; ``None`` as the recording says.
    """

    name: Annotated[str, AfterValidator(plain_name)]
    source: str | None = None
    kind: Literal["continuous", "categorical"] | None = None
    per: Literal["bin", "trial"] | None = None


class BehaviourConfig(WantedBehaviour):
    """A behaviour as a recording holds it: everything is said."""

    source: str
    kind: Literal["continuous", "categorical"]
    per: Literal["bin", "trial"]


def _wanted(given: object) -> object:
    """A behaviour by its name alone, or in full."""
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, WantedBehaviour):
        return given.model_dump()
    if not isinstance(given, dict):
        raise ValueError("expected the name of a behaviour, or a mapping with name and source")
    return given


def _several(given: object) -> object:
    return [given] if isinstance(given, str) else given


class WindowConfig(_Section):
    """How a recording is cut into windows.

    Attributes:
        align: ``trial`` (around an event of each trial), ``continuous`` (tiles of fixed length),
            or ``auto``: trials where the recording has them.
        event: Column of the trial table to align to; ``None`` takes the whole trial, start to end
            (windows may then differ in length).
        pre_s: Seconds before the event.
        post_s: Seconds after the event.
        length_s: Length of a continuous window (s).
        stride_s: Step between continuous windows (s); ``None`` means no overlap.
        jitter_s: In training, continuous windows are moved by a random time of at most this much
            to either side at every visit, within the run of training windows (s).
        bin_size_s: Bin width (s); ``None`` means that of binned recordings, and 0.02 for events.
        behaviour_grid: Where in a bin behaviours are sampled: its ``centre``, or its ``right``
            edge as NEDS published.
        max_gap_s: A behaviour sample further than this from a bin is missing there (s).
    """

    align: Literal["auto", "trial", "continuous"] = "auto"
    event: str | None = None
    pre_s: float = 0.0
    post_s: float | None = None
    length_s: float = Field(2.0, gt=0)
    stride_s: float | None = Field(None, gt=0)
    jitter_s: float = Field(0.0, ge=0)
    bin_size_s: float | None = Field(None, gt=0)
    behaviour_grid: Literal["centre", "right"] = "centre"
    max_gap_s: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _check_order(self) -> WindowConfig:
        if self.post_s is not None and self.pre_s + self.post_s <= 0:
            raise ValueError(
                f"windows from {self.pre_s:g} s before an event to {self.post_s:g} s after it end "
                "before they start; make pre_s or post_s larger"
            )
        return self


class SplitConfig(_Section):
    """How windows are divided into train, valid and test.

    Attributes:
        kind: ``random`` (hash of seed, session and trial), ``blocked`` (runs of neighbouring
            windows, with a gap between splits), ``given`` (``trials.split`` of the recording), or
            ``auto``: given where the recording has one; else random for trials, blocked for
            continuous windows.
        train: Fraction of training windows.
        valid: Fraction of validation windows; the rest is the test split.
        seed: Seed of the hash.
        blocks: Number of blocks per split (``blocked``).
        gap_s: Windows closer than this to a window of another split are dropped (``blocked``).
        folds: Number of parts that take turns as the test split (cross-validation); training has
            what these and ``valid`` leave, ``train`` and ``blocks`` are not used. ``None`` for one
            fixed test split.
        fold: Which of the folds is the test split, from 0 on.
    """

    kind: Literal["auto", "random", "blocked", "given"] = "auto"
    train: float = Field(0.7, gt=0, lt=1)
    valid: float = Field(0.1, ge=0, lt=1)
    seed: int = 0
    blocks: int = Field(5, ge=1)
    gap_s: float = Field(2.0, ge=0)
    folds: int | None = Field(None, ge=2)
    fold: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_fold(self) -> SplitConfig:
        if self.fold >= (self.folds or 1):
            many = "is not set" if self.folds is None else f"is {self.folds}"
            raise ValueError(
                f"fold {self.fold} does not exist, because folds {many}; folds count from 0"
            )
        return self


class DataConfig(_Section):
    """What is read from the recordings.

    Attributes:
        windows: Windows.
        split: Splits.
        behaviours: Behaviours to use, by name or in full (:class:`WantedBehaviour`); ``None``
            takes all that the recordings offer.
        min_rate_hz: Units below this mean rate over the training windows are left out.
        open_recordings: Recordings that a process holds open at a time; the one not read for
            longest is closed, and opened again when it is read.
    """

    windows: WindowConfig = WindowConfig()
    split: SplitConfig = SplitConfig()
    behaviours: Annotated[
        tuple[Annotated[WantedBehaviour, BeforeValidator(_wanted)], ...] | None,
        BeforeValidator(_several),
    ] = None
    min_rate_hz: float = Field(0.0, ge=0)
    open_recordings: int = Field(100, ge=1)


class MaskingConfig(_Section):
    """Which masking schemes training draws.

    Attributes:
        schemes: Weight of each scheme; names are the keys of ``neuroduet.masking.SCHEMES``. A
            mapping replaces them all, ``masking.schemes.encoding=3`` changes one.
        ratio: Probability that a bin is hidden in the schemes over time and modalities.
        unit_ratio: Probability that a unit is hidden in the schemes over units.
        hide_visible: Fraction of otherwise visible bins hidden without being scored.
        per: A scheme is drawn for every ``sample``, or for a whole ``batch``.
        keep: Fraction of the hidden activity that stays readable, though it is scored.
        random: Fraction of the hidden activity that reads a wrong value.
        kind: ``independent`` draws per sample and modality; ``published`` draws as the published
            code of the model does (``neds_published``, ``mtm_published``).
    """

    schemes: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=lambda: {
            "encoding": 1.0,
            "decoding": 2.0,
            "self_spike": 0.5,
            "self_behaviour": 1.0,
            "random_token": 0.5,
            "encoding_from": 0.5,
            "neuron": 2.0,
            "temporal": 0.7,
            "forward": 0.7,
            "intra_region": 1.5,
            "inter_region": 1.0,
        }
    )
    ratio: float = Field(0.3, gt=0, lt=1)
    unit_ratio: float = Field(0.3, gt=0, lt=1)
    hide_visible: float = Field(0.1, ge=0, lt=1)
    per: Literal["sample", "batch"] = "sample"
    keep: float = Field(0.0, ge=0, lt=1)
    random: float = Field(0.0, ge=0, lt=1)
    kind: Literal["independent", "published"] = "independent"


class ModelConfig(_Section):
    """Architecture.

    Attributes:
        name: A key of ``neuroduet.models.MODELS``.
        tokens: ``fused`` (one token per time bin, all modalities added) or ``separate`` (one token
            per modality and bin); a behaviour given once per trial is always one token.
        inputs: ``all``, ``activity`` (a decoding-only model) or ``behaviours`` (encoding-only).
        behaviours: Whether behaviours are modalities at all; without them the model knows spikes
            only (MtM), and behaviour is decoded from its frozen features.
        prompts: Tell the model which question is asked by a prompt token, beside a session token;
            the prompts ``causal`` and ``forward`` then allow attention to the past only.
        hidden_units: How the input stitcher treats hidden units: ``infer`` reads the latents off
            the visible ones, ``zero`` takes hidden ones for silent (as published).
        width: Model width D.
        layers: Number of transformer blocks.
        heads: Attention heads.
        feed_forward: Width of the hidden layer of a block.
        dropout: Dropout on attention and feed-forward outputs (never inside attention).
        unit_dropout: Probability that an input unit is silenced for a training sample.
        input_rank: Rank of the input stitcher; ``None`` maps units to the width directly.
        output_rank: Rank of the output stitcher; ``None`` maps the width to units directly.
        unit_embedding: Numbers per unit from which matrices that all sessions share make both
            stitchers, instead of a row of each rank; ``None`` gives every unit both rows.
        input_kernel: Bins of the depthwise convolution over the spike input; 0 for none.
        behaviour_kernel: Bins of the convolution over continuous behaviours.
        data_init: Start the stitchers from principal components of the training data.
        readout_dropout: Dropout before the read-out of behaviours given once per trial.
        patch: Units in a patch (``ndt2``).
    """

    name: str = "translator"
    tokens: Literal["fused", "separate"] = "fused"
    inputs: Literal["all", "activity", "behaviours"] = "all"
    behaviours: bool = True
    prompts: bool = False
    hidden_units: Literal["infer", "zero"] = "infer"
    width: int = Field(128, ge=8)
    layers: int = Field(3, ge=1)
    heads: int = Field(4, ge=1)
    feed_forward: int = Field(256, ge=8)
    dropout: float = Field(0.3, ge=0, lt=1)
    unit_dropout: float = Field(0.3, ge=0, lt=1)
    input_rank: int | None = Field(72, ge=1)
    output_rank: int | None = Field(72, ge=1)
    unit_embedding: int | None = Field(None, ge=1)
    input_kernel: Annotated[int, Field(ge=0), AfterValidator(_odd_or_zero)] = 9
    behaviour_kernel: Annotated[int, Field(ge=1), AfterValidator(_odd_or_zero)] = 17
    data_init: bool = True
    readout_dropout: float = Field(0.4, ge=0, lt=1)
    patch: int = Field(128, ge=1)


class LossConfig(_Section):
    """Weights of the loss.

    Attributes:
        activity: Weight of the neural loss.
        activity_unit: ``spike`` divides the Poisson loss by the mean training count (nats per
            spike); ``entry`` is the plain mean over scored entries.
        unit_balance: 0 weighs every bin of every unit alike (busy units rule), 1 every unit's
            spikes by the inverse of its rate, as the mean over units of bits per spike does.
        continuous: Weight of each continuous behaviour (squared error of z-scored values).
        categorical: Weight of each categorical behaviour (cross-entropy).
        label_smoothing: Label smoothing of the cross-entropy.
        kind: ``scored`` is a mean over scored entries; ``published`` is the unweighted sum of NEDS
            with its division of the cross-entropy by tokens (the other settings are not used).
    """

    activity: float = Field(8.0, ge=0)
    activity_unit: Literal["spike", "entry"] = "spike"
    unit_balance: float = Field(0.5, ge=0, le=1)
    continuous: float = Field(1.0, ge=0)
    categorical: float = Field(0.5, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    kind: Literal["scored", "published"] = "scored"


class TrainingConfig(_Section):
    """Optimisation.

    Attributes:
        seed: Seed of weights, masks, dropout and order.
        max_epochs: Upper bound on passes through the training windows.
        max_steps: Upper bound on optimiser steps; ``None`` for no bound.
        max_minutes: Upper bound on wall-clock time; the learning-rate schedule then follows
            whichever budget is used up fastest.
        batch_size: Windows per optimiser step.
        sessions_per_batch: Sessions that share a step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: AdamW weight decay (matrices only).
        betas: AdamW momenta.
        warmup: Fraction of the budget spent warming up.
        div_factor: Peak over initial learning rate.
        final_div_factor: Initial over final learning rate.
        cycle_momentum: Move beta1 against the learning rate, 0.95 to 0.85 (as published).
        clip: Largest gradient norm; ``None`` for no clipping.
        ema: Decay of the weight average used for validation and prediction; 0 for none.
        validate_every: Steps between validations; ``None`` means about once an epoch.
        patience: Validations without a better mean score before stopping; ``None`` never stops.
        select: ``task`` keeps the best validation weights of every target, ``mean`` one set.
        precision: ``32`` or ``bf16``.
        device: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of a process; ``None`` takes all cores. More than one helps little
            at the default size and is slow on a busy machine; ``members`` uses cores better.
        workers: Processes that prepare the next steps; a CPU waits for none, a fast GPU may.
        members: Size of the ensemble, trained in parallel processes of one thread each.
        finetune: Which weights move: ``full``, ``probe`` (stitchers only) or ``gradual``
            (stitchers first, then everything).
    """

    seed: int = Field(0, ge=0)
    max_epochs: int = Field(100, ge=1)
    max_steps: int | None = Field(None, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    batch_size: int = Field(16, ge=1)
    sessions_per_batch: int = Field(1, ge=1)
    learning_rate: float = Field(4e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    betas: tuple[_Momentum, _Momentum] = (0.9, 0.98)
    warmup: float = Field(0.1, gt=0, lt=1)
    div_factor: float = Field(10.0, gt=0)
    final_div_factor: float = Field(1e4, gt=0)
    cycle_momentum: bool = False
    clip: float | None = Field(1.0, gt=0)
    ema: float = Field(0.995, ge=0, lt=1)
    validate_every: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=1)
    select: Literal["task", "mean"] = "task"
    precision: Annotated[Literal["32", "bf16"], BeforeValidator(str)] = "32"  # YAML: a number
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(1, ge=1)
    workers: int = Field(0, ge=0)
    members: int = Field(1, ge=1)
    finetune: Literal["full", "probe", "gradual"] = "full"


class Config(_Section):
    """Everything a run is made from.

    Attributes:
        preset: Name of the preset it started from.
        data: What is read.
        masking: What is hidden in training.
        model: Architecture.
        loss: Loss weights.
        training: Optimisation.
    """

    preset: str = "duet"
    data: DataConfig = DataConfig()
    masking: MaskingConfig = MaskingConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _check_model(self) -> Config:
        if self.model.width % (2 * self.model.heads):
            raise ValueError(
                f"model.width {self.model.width} must be a multiple of twice model.heads "
                f"({self.model.heads}), because rotary positions pair the entries of a head"
            )
        if self.model.prompts and self.model.behaviours:
            raise ValueError(
                "model.prompts asks about activity only, and model.behaviours is true; set "
                "model.behaviours=false, or leave the prompts out"
            )
        return self

    def to_yaml(self) -> str:
        """The resolved configuration as YAML text."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _place_of(section: type[BaseModel], within: type[BaseModel] = Config) -> tuple[str, ...]:
    """Names that lead from a configuration to a section of it."""
    for name, field in within.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if kind is section:
                return (name,)
            inner = _place_of(section, kind)
            if inner:
                return (name, *inner)
    return ()


def from_mapping(values: dict[str, Any]) -> Config:
    """Validate a nested mapping.

    Args:
        values: Sections and keys of :class:`Config`.

    Returns:
        The configuration.

    Raises:
        UserError: A key is unknown (the nearest known key is named) or a value is not allowed.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise refusal(error, Config) from None


def load_config(path: Path | str, base: Config | None = None) -> Config:
    """Read a YAML file on top of a base configuration.

    Args:
        path: YAML file with any of the sections and keys of :class:`Config`.
        base: Configuration the file changes; defaults to :class:`Config`'s own defaults.

    Returns:
        The configuration.

    Raises:
        UserError: The file is missing, is not a mapping, or holds an unknown key or bad value.
    """
    path = as_path(path, "path")
    if not path.is_file():
        raise UserError(f"no configuration file at {path}; give the path of a YAML file")
    values = read_setting(path.read_bytes(), str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UserError(f"{path} holds a {type(values).__name__}, expected sections with keys")
    return from_mapping(merged((base or Config()).model_dump(), values))


def override(config: Config, settings: Settings) -> Config:
    """Change settings of a configuration.

    Args:
        config: Configuration to change; it stays as it is.
        settings: ``"training.seed=1"``, a list of such texts with values written as in YAML, or
            a mapping such as ``{"training.seed": 1, "model.width": 64}``.

    Returns:
        The changed configuration.

    Raises:
        UserError: A setting has no ``=``, or its key or value is not allowed.
    """
    if not isinstance(config, Config):
        raise unsuitable(
            "config", config, "a configuration", "give for example neuroduet.PRESETS['duet']()"
        )
    values = config.model_dump()
    for change in changes(settings):
        values = merged(values, change)
    return from_mapping(values)


def allowed_values() -> dict[str, tuple[str, ...]]:
    """Dotted names of all settings, each with its values if they are a choice of few.

    Example:
        >>> allowed_values()["loss.kind"]
        ('scored', 'published')
    """
    return choices(Config)
