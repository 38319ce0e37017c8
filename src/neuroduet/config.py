"""One frozen configuration for a run: strict, printed resolved into the run folder.

Every default stands here once. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from neuroduet.errors import UserError
from neuroduet.plain import plain_name, printable, read_yaml


def _odd_or_zero(bins: int) -> int:
    if bins and bins % 2 == 0:
        raise ValueError("a kernel has an odd number of bins, so that it is centred")
    return bins


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BehaviourConfig(_Section):
    """One behaviour to use as a modality.

    Attributes:
        name: Name used in masks, scores and predictions.
        source: ``group.field`` of the recording.
        kind: ``continuous`` or ``categorical``.
        per: ``bin`` or ``trial``.
    """

    name: Annotated[str, AfterValidator(plain_name)]
    source: str
    kind: Literal["continuous", "categorical"]
    per: Literal["bin", "trial"]


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
            edge as NEDS published (reference section 2.4).
        max_gap_s: A behaviour sample further than this from a bin is missing there (s).
    """

    align: Literal["auto", "trial", "continuous"] = "auto"
    event: str | None = None
    pre_s: float = 0.0
    post_s: float | None = None
    length_s: float = Field(2.0, gt=0)
    stride_s: float | None = None
    jitter_s: float = Field(0.0, ge=0)
    bin_size_s: float | None = None
    behaviour_grid: Literal["centre", "right"] = "centre"
    max_gap_s: float = Field(0.1, gt=0)


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
        behaviours: Behaviours to use; ``None`` takes those the recordings name.
        min_rate_hz: Units below this mean rate over the training windows are left out.
        open_recordings: Recordings that a process holds open at a time; the one not read for
            longest is closed, and opened again when it is read.
    """

    windows: WindowConfig = WindowConfig()
    split: SplitConfig = SplitConfig()
    behaviours: tuple[BehaviourConfig, ...] | None = None
    min_rate_hz: float = Field(0.0, ge=0)
    open_recordings: int = Field(100, ge=1)


class MaskingConfig(_Section):
    """Which masking schemes training draws.

    Attributes:
        schemes: Weight of each scheme; names are the keys of ``neuroduet.masking.SCHEMES``.
        ratio: Probability that a bin is hidden in the schemes over time and modalities.
        unit_ratio: Probability that a unit is hidden in the schemes over units.
        hide_visible: Fraction of otherwise visible bins hidden without being scored.
        per: A scheme is drawn for every ``sample``, or for a whole ``batch``.
        keep: Fraction of the hidden activity that stays readable, though it is scored.
        random: Fraction of the hidden activity that reads a wrong value.
        kind: ``independent`` draws per sample and modality; ``published`` draws as the published
            code of the model does (``neds_published``, ``mtm_published``).
    """

    schemes: dict[str, float] = Field(
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
    input_rank: int | None = 72
    output_rank: int | None = 72
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

    activity: float = 8.0
    activity_unit: Literal["spike", "entry"] = "spike"
    unit_balance: float = Field(0.5, ge=0, le=1)
    continuous: float = 1.0
    categorical: float = 0.5
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
    betas: tuple[float, float] = (0.9, 0.98)
    warmup: float = Field(0.1, gt=0, lt=1)
    div_factor: float = 10.0
    final_div_factor: float = 1e4
    cycle_momentum: bool = False
    clip: float | None = 1.0
    ema: float = Field(0.995, ge=0, lt=1)
    validate_every: int | None = Field(None, ge=1)
    patience: int | None = Field(None, ge=1)
    select: Literal["task", "mean"] = "task"
    precision: Literal["32", "bf16"] = "32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = 1
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
        listed = "; ".join(_explain(e) for e in error.errors())
        raise UserError(printable(listed)) from None


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
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no configuration file at {path}; give the path of a YAML file")
    values = _read(path.read_bytes(), str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise UserError(f"{path} holds a {type(values).__name__}, expected sections with keys")
    return from_mapping(_merge((base or Config()).model_dump(), values))


def override(config: Config, settings: list[str]) -> Config:
    """Apply ``section.key=value`` settings, values written as in YAML.

    Args:
        config: Configuration to change.
        settings: E.g. ``["training.max_epochs=5", "model.width=64"]``.

    Returns:
        The changed configuration.

    Raises:
        UserError: A setting has no ``=``, or its key or value is not allowed.
    """
    values = config.model_dump()
    for setting in settings:
        key, found, text = setting.partition("=")
        if not found:
            raise UserError(f"setting '{setting}' has no '='; write section.key=value")
        change = _read(text, f"setting '{setting}'")
        for part in reversed(key.strip().split(".")):
            change = {part: change}
        values = _merge(values, change)
    return from_mapping(values)


def _read(text: str | bytes, origin: str) -> Any:
    try:
        return read_yaml(text)
    except ValueError as error:
        raise UserError(f"{origin} is not valid YAML: {error}") from None


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A new mapping with ``change`` laid over ``base``; ``masking.schemes`` is replaced whole."""
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        nested = isinstance(old, dict) and isinstance(value, dict) and key != "schemes"
        merged[key] = _merge(old, value) if nested and old is not None else value
    return merged


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown configuration key '{where}'; {_hint(error['loc'])}"
    message = error["msg"].removeprefix("Value error, ")
    return (
        f"configuration key '{where}': {message}, found {_SHORT.repr(error['input'])}"
        if where
        else message
    )


def _hint(location: tuple[Any, ...]) -> str:
    """The key of that name in other sections, else the nearest one of the section."""
    *parents, name = (str(part) for part in location)
    near = [key for key in _keys(Config) if key.endswith(f".{name}")]
    section = _section_of(location[:-1])
    known = list(section.model_fields) if section else []
    for close in difflib.get_close_matches(name, known, n=1, cutoff=0.4):
        near = near or [".".join([*parents, close])]
    if not near:
        return f"known keys: {', '.join(known)}"
    return f"did you mean {' or '.join(repr(key) for key in near)}?"


def _keys(section: type[BaseModel]) -> list[str]:
    """Dotted names of all settings of a section."""
    keys = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += [f"{name}.{key}" for key in _keys(inner)]
        else:
            keys.append(name)
    return keys


def _section_of(location: tuple[Any, ...]) -> type[BaseModel] | None:
    section: type[BaseModel] | None = Config
    for part in location:
        field = section.model_fields.get(str(part)) if section else None
        annotation = field.annotation if field else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            section = annotation
        else:
            section = BehaviourConfig  # the only sections that stand in a list
    return section
