"""One face for all segmentation models: arrays of pose or features in, classes per frame out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.numpy import save
from sklearn.base import BaseEstimator

from neuroduet import __version__
from neuroduet.actions.card import write_card
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.features import Standardiser, compute_features, fit_standardiser
from neuroduet.actions.frames import Frames
from neuroduet.actions.inputs import (
    FeatureKind,
    Labels,
    Recordings,
    check_arrays,
    check_labels,
    check_options,
    feature_options,
    frame_shape,
    positive,
)
from neuroduet.actions.metrics import macro_f1
from neuroduet.actions.model import Fitted, ModelOptions, Report, silent
from neuroduet.actions.pooling import (
    moving_mean,
    pool_labels,
    pool_values,
    typical_bout,
    unpool,
    usual_pool,
)
from neuroduet.actions.saved import FILES, SCHEMA, read_saved, require_no_more
from neuroduet.atomic import replacing
from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, unknown
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import Rights, Shareable
from neuroduet.types import UNLABELLED


@dataclass(frozen=True, kw_only=True)
class _Learned:
    """What fitting found out."""

    model: Fitted
    options: ModelOptions
    standardiser: Standardiser
    classes: tuple[str, ...]
    pool: int
    smooth: int
    shape: tuple[int, ...]
    recordings: tuple[str, ...]


class Segmenter(BaseEstimator, Shareable):
    """Per-frame behaviour classes from pose or sensor features.

    A recording is an array: features ``(frames, features)``, pose ``(frames, keypoints, 2 or 3)``
    or pose of several animals ``(frames, animals, keypoints, 2 or 3)``; the third coordinate is
    the likelihood, NaN is missing. Labels are one integer per frame, -1 where nobody said.

    Args:
        model: A name of :data:`~neuroduet.actions.families.FAMILIES`.
        features: Kind of features, or all their options
            (:class:`~neuroduet.actions.features.FeatureOptions`).
        classes: Names of classes 0, 1, ...; their numbers if not given.
        n_states: Number of states to find where there are no labels.
        pool: Frames averaged into one before the model sees them. ``auto``: 1 for features; for
            pose, as many as leave a typical bout of the training labels in several pieces.
        smooth: Frames over which probabilities are averaged, 1 for none. ``auto``: 1 for
            features; for pose, about half a typical bout, at most 25.
        seed: Of everything random.
        **options: Options of the model; those not given have defaults of their own for pose
            (:attr:`~neuroduet.actions.model.Family.for_pose`).

    Raises:
        UserError: The model, its options or the kind of features are not known.

    Example:
        >>> from neuroduet.actions import Segmenter
        >>> from neuroduet.simulate.nascar import nascar
        >>> world = nascar(n_frames=600)
        >>> segmenter = Segmenter("arhmm", n_states=4, components=2)
        >>> states = segmenter.fit([world.features]).predict([world.features])
        >>> states[0].shape
        (600,)
    """

    def __init__(
        self,
        model: str = "tcn",
        *,
        features: FeatureKind = "auto",
        classes: Sequence[str] | None = None,
        n_states: int | None = None,
        pool: int | Literal["auto"] = "auto",
        smooth: int | Literal["auto"] = "auto",
        seed: int = 0,
        **options: Any,
    ) -> None:
        if model not in FAMILIES:
            raise unknown("segmentation model", model, FAMILIES)
        self.model = model
        self.options = check_options(FAMILIES[model].options, options, f"model '{model}'")
        self._given = options
        self.features = feature_options(features)
        self.classes = None if classes is None else tuple(classes)
        self.n_states = None if n_states is None else positive("n_states", n_states)
        self.pool = pool if pool == "auto" else positive("pool", pool)
        self.smooth = smooth if smooth == "auto" else positive("smooth", smooth)
        self.seed = seed
        self._params = {
            "model": model,
            "features": features,
            "classes": classes,
            "n_states": n_states,
            "pool": pool,
            "smooth": smooth,
            "seed": seed,
            **options,
        }
        self._learned: _Learned | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the segmenter was made with, so that scikit-learn can copy and search it.

        Args:
            deep: Without effect: nothing here is an estimator of its own.
        """
        return dict(self._params)

    def set_params(self, **params: Any) -> Segmenter:
        """Change what the segmenter was made with; it is not fitted afterwards.

        Raises:
            UserError: A value is not allowed.
        """
        Segmenter.__init__(self, **{**self._params, **params})
        return self

    def fit(
        self,
        recordings: Recordings,
        labels: Recordings | None = None,
        weak: Recordings | None = None,
        report: Report = silent,
        names: Sequence[str] = (),
    ) -> Segmenter:
        """Learn from recordings, labelled in full, in part or not at all.

        Args:
            recordings: One array each.
            labels: Integers per frame, -1 where nobody said.
            weak: Labels of a heuristic, in the same coding; used where ``labels`` says nothing,
                by the models that can (networks, HMMs).
            report: Told how far fitting is.
            names: What the recordings are called; kept with the model, so that its scores on
                them are never mistaken for scores on new ones.

        Returns:
            The segmenter itself, fitted.

        Raises:
            UserError: Arrays or labels do not fit together, or the model needs labels.
        """
        arrays = check_arrays(recordings)
        known = check_labels(labels, arrays, "labels")
        hinted = None if weak is None else check_labels(weak, arrays, "weak labels")
        shape = frame_shape(arrays)
        if FAMILIES[self.model].needs_labels and not any((y >= 0).any() for y in known):
            raise UserError(
                f"model '{self.model}' learns from labels, and no frame has one; give labels, or "
                "use a model that needs none: arhmm, hmm, slds"
            )
        classes = self._names([*known, *(hinted or [])])
        pool, smooth = self._resolution(shape, known)
        values = [pool_values(self._measured(array), pool) for array in arrays]
        standardiser = fit_standardiser(values, self.features.standardise)
        frames = [
            Frames(
                features=standardiser.apply(x),
                labels=pool_labels(y, pool),
                weak=None if hinted is None else pool_labels(hinted[i], pool),
            )
            for i, (x, y) in enumerate(zip(values, known, strict=True))
        ]
        family = FAMILIES[self.model]
        options = self._options_for(shape, frames)
        self._learned = _Learned(
            model=family.fit(frames, len(classes), options, self.seed, report),
            options=options,
            standardiser=standardiser,
            classes=classes,
            pool=pool,
            smooth=smooth,
            shape=shape,
            recordings=tuple(names),
        )
        return self

    def predict_proba(self, recordings: Recordings) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class in every frame, ``(T, K)`` per recording; rows sum to 1.

        Raises:
            UserError: Not fitted, or the arrays differ in layout from those fitted to.
        """
        learned = self._ready()
        arrays = check_arrays(recordings)
        pooled = learned.model.predict_proba(self._inputs(arrays))
        return [
            moving_mean(unpool(p, learned.pool, len(array)), learned.smooth)
            for p, array in zip(pooled, arrays, strict=True)
        ]

    def predict(self, recordings: Recordings) -> list[Int[np.ndarray, " _"]]:
        """The most probable class of every frame, one integer per frame."""
        return [p.argmax(1) for p in self.predict_proba(recordings)]

    def score(self, recordings: Recordings, labels: Recordings) -> float:
        """Macro F1 over the labelled frames of all recordings.

        :func:`neuroduet.actions.metrics.score_actions` gives every metric, with intervals.
        """
        known = check_labels(labels, check_arrays(recordings), "labels")
        return float(macro_f1(known, self.predict(recordings), len(self.class_names)))

    def latents(self, recordings: Recordings) -> list[Float[np.ndarray, "_ d"]]:
        """Continuous latents of every (pooled) frame, for the models that have any.

        Raises:
            UserError: The model has none.
        """
        latents = getattr(self._ready().model, "latents", None)
        if latents is None:
            raise UserError(f"model '{self.model}' has no latents; use s3lds, slds or gmdgm")
        return cast(list[np.ndarray], latents(self._inputs(check_arrays(recordings))))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`predict_proba`."""
        return self._ready().classes

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the fitted segmenter: ``segmenter.json`` and ``segmenter.safetensors``.

        Args:
            folder: Made if needed; an older segmenter in it is replaced.

        Returns:
            The folder.
        """
        learned = self._ready()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {
            f"model.{k}": np.asarray(v, order="C") for k, v in learned.model.arrays().items()
        }
        arrays |= {
            "standardiser.mean": learned.standardiser.mean,
            "standardiser.scale": learned.standardiser.scale,
        }
        with replacing(folder / "segmenter.safetensors") as path:
            path.write_bytes(save(arrays))
        with replacing(folder / "segmenter.json") as path:
            path.write_text(json.dumps(self._description(learned), indent=2) + "\n")
        return folder

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, token: str | None = None
    ) -> Segmenter:
        """Read what :meth:`save_pretrained` or :meth:`push_to_hub` wrote; no code is executed.

        Args:
            source: Folder, else ``owner/name`` of a repository on the Hugging Face Hub. A folder
                of that name always wins.
            revision: Branch, tag or commit of the repository.
            token: Access token for a private repository; the stored one if not given.

        Raises:
            UserError: There is no such folder or repository, or it holds no whole segmenter, or
                one of a newer version.
        """
        with reading(source):
            return cls._restored(*read_saved(local_or_fetched(source, FILES, revision, token)))

    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write the fitted segmenter and a card; see :class:`~neuroduet.sharing.Shareable`."""
        self.save_pretrained(folder)
        write_card(folder, self.describe(), rights, source)

    def describe(self) -> dict[str, Any]:
        """What the fitted segmenter is, in plain types: what :meth:`save_pretrained` writes.

        Raises:
            UserError: Not fitted.
        """
        return self._description(self._ready())

    @classmethod
    def _restored(cls, said: dict[str, Any], arrays: dict[str, np.ndarray]) -> Segmenter:
        segmenter = cls(
            said["model"],
            features=said["features"],
            classes=said["classes"],
            pool=said["pool"],
            smooth=said["smooth"],
            seed=said["seed"],
            **said["options"],
        )
        standardiser = Standardiser(
            mean=arrays.pop("standardiser.mean"), scale=arrays.pop("standardiser.scale")
        )
        own = {name.removeprefix("model."): array for name, array in arrays.items()}
        require_no_more(segmenter.options, own)
        restore = FAMILIES[segmenter.model].restore
        with torch.device("meta"), warnings.catch_warnings():
            # Shapes alone: what does not fit must not fill the memory. Copying numbers into
            # shapes does nothing, which is said as a warning.
            warnings.simplefilter("ignore")
            restore(own, segmenter.options)
        segmenter._learned = _Learned(
            model=restore(own, segmenter.options),
            options=segmenter.options,
            standardiser=standardiser,
            classes=tuple(said["classes"]),
            pool=said["pool"],
            smooth=said["smooth"],
            shape=tuple(said["shape"]),
            recordings=tuple(said.get("recordings", ())),
        )
        return segmenter

    def _inputs(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        learned = self._ready()
        if frame_shape(arrays) != learned.shape:
            raise UserError(
                f"recordings have frames of shape {frame_shape(arrays)}, but the model was fitted "
                f"to {learned.shape}; give the same features or keypoints in the same order"
            )
        values = [pool_values(self._measured(array), learned.pool) for array in arrays]
        return [learned.standardiser.apply(x) for x in values]

    def _measured(self, array: np.ndarray) -> Float[np.ndarray, "T D"]:
        """Features, NaN where unknown: what is unknown becomes average once standardised."""
        return compute_features(array, self.features).measured()

    def _ready(self) -> _Learned:
        if self._learned is None:
            raise UserError("the segmenter is not fitted; call fit or from_pretrained first")
        return self._learned

    def _names(self, labels: Sequence[Labels]) -> tuple[str, ...]:
        """Names of the classes that the labels speak of, or of the states to find."""
        most = max((int(y.max(initial=UNLABELLED)) for y in labels), default=UNLABELLED) + 1
        if most == 0:
            if self.n_states is None and self.classes is None:
                raise UserError(
                    "there are no labels, so the number of states must be given; set n_states"
                )
            return self.classes or tuple(f"state {i}" for i in range(self.n_states or 0))
        if self.classes is None:
            return tuple(str(i) for i in range(most))
        if most > len(self.classes):
            raise UserError(
                f"labels go up to {most - 1}, but only {len(self.classes)} classes are named "
                "(counted from 0); name them all"
            )
        return self.classes

    def _options_for(self, shape: tuple[int, ...], frames: Sequence[Frames]) -> ModelOptions:
        """Options as given, and the family's own for pose where none was given."""
        family = FAMILIES[self.model]
        if len(shape) == 1:
            return self.options
        labelled = sum(int((one.labels != UNLABELLED).sum()) for one in frames)
        return family.options(**{**family.for_pose(labelled), **self._given})

    def _resolution(self, shape: tuple[int, ...], labels: Sequence[Labels]) -> tuple[int, int]:
        is_pose = len(shape) > 1
        bout = typical_bout(labels) or 1.0
        pool = usual_pool(labels) if is_pose else 1
        smooth = int(min(bout / 2, 25)) // 2 * 2 + 1 if is_pose else 1
        return (
            pool if self.pool == "auto" else self.pool,
            smooth if self.smooth == "auto" else self.smooth,
        )

    def _description(self, learned: _Learned) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "version": __version__,
            "model": self.model,
            "options": learned.options.model_dump(mode="json"),
            "features": self.features.model_dump(mode="json"),
            "classes": list(learned.classes),
            "pool": learned.pool,
            "smooth": learned.smooth,
            "shape": list(learned.shape),
            "recordings": list(learned.recordings),
            "seed": self.seed,
        }
