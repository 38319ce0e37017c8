"""One face for all segmentation models: arrays of pose or features in, classes per frame out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.base import BaseEstimator

from neuroduet.actions.card import write_card
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.features import fit_standardiser
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
    name_classes,
    positive,
)
from neuroduet.actions.learned import Learned, measured
from neuroduet.actions.metrics import macro_f1
from neuroduet.actions.model import ModelOptions, Report, silent
from neuroduet.actions.pooling import pool_labels, typical_bout, usual_pool
from neuroduet.actions.saved import FILES, describe, read_saved, restored, write_saved
from neuroduet.actions.threads import torch_threads
from neuroduet.actions.tree_options import TreeOptions
from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, unknown
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import NotFitted, Rights, Shareable
from neuroduet.terminal import counted
from neuroduet.types import UNLABELLED


class Segmenter(BaseEstimator, Shareable):
    """Per-frame behaviour classes from pose or sensor features.

    A recording is an array: features ``(frames, features)``, pose ``(frames, keypoints, 2 or 3)``
    or pose of several animals ``(frames, animals, keypoints, 2 or 3)``; the third coordinate is
    the likelihood, NaN is missing. Labels are one integer per frame, -1 where nobody said; or one
    name of a class, empty where nobody said. Answers are integers: places in ``classes_``.

    Args:
        model: A name of :data:`~neuroduet.actions.families.FAMILIES`.
        features: Kind of features, or all their options
            (:class:`~neuroduet.actions.features.FeatureOptions`).
        classes: Names of classes 0, 1, ...; if not given, their numbers, or the names that
            labels hold, sorted.
        n_states: Number of states to find where there are no labels, or the model leaves them
            aside (then as many as classes if not given).
        pool: Frames averaged into one before the model sees them. ``auto``: 1 for features; for
            pose, as many as leave a typical bout of the training labels in several pieces.
        smooth: Frames over which probabilities are averaged (an even number counts as the next
            odd one), 1 for none. ``auto``: 1 for features; for pose, about half a typical bout,
            at most 25.
        seed: Of everything random.
        threads: Threads that networks compute with, ``None`` for as many as torch has now. Their
            matrices are small: more are seldom quicker. Trees have an option ``jobs``.
        verbose: Show on standard error how far fitting is.
        **options: Options of the model; those not given have defaults of their own for pose
            (:attr:`~neuroduet.actions.model.Family.for_pose`).

    Attributes:
        classes_: Names of the classes, in the order of :meth:`predict_proba`.

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
        threads: int | None = 1,
        verbose: bool = False,
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
        self.threads = None if threads is None else positive("threads", threads)
        self.verbose = verbose
        self._params = {
            "model": model,
            "features": features,
            "classes": classes,
            "n_states": n_states,
            "pool": pool,
            "smooth": smooth,
            "seed": seed,
            "threads": threads,
            "verbose": verbose,
            **options,
        }
        self._learned: Learned | None = None

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
            labels: Integers per frame, -1 where nobody said; or names, empty where nobody said.
            weak: Labels of a heuristic, in the same coding; used where ``labels`` says nothing,
                by the models that can (networks, HMMs).
            report: Told how far fitting is, instead of the user.
            names: What the recordings are called; kept with the model, so that its scores on
                them are never mistaken for scores on new ones.

        Returns:
            The segmenter itself, fitted.

        Raises:
            UserError: Arrays or labels do not fit together, or the model needs labels.
        """
        arrays = check_arrays(recordings)
        labels, weak = (None if one is None else list(one) for one in (labels, weak))
        words = name_classes([labels, weak], self.classes)
        known = check_labels(labels, arrays, "labels", words)
        hinted = None if weak is None else check_labels(weak, arrays, "weak labels", words)
        shape = frame_shape(arrays)
        if FAMILIES[self.model].needs_labels and not any((y >= 0).any() for y in known):
            raise UserError(
                f"model '{self.model}' learns from labels, and no frame has one; give labels, or "
                "use a model that needs none: arhmm, hmm, slds"
            )
        classes = self._names([*known, *(hinted or [])], words)
        pool, smooth = self._resolution(shape, known)
        values = measured(arrays, self.features, pool)
        standardiser = fit_standardiser(values, self.features.standardise)
        frames = [
            Frames(
                features=standardiser.apply(x),
                labels=pool_labels(y, pool),
                weak=None if hinted is None else pool_labels(hinted[i], pool),
            )
            for i, (x, y) in enumerate(zip(values, known, strict=True))
        ]
        options = self._options_for(shape, frames)
        told = None if report is silent else report
        with counted("steps", told, self.verbose) as told, self._computing():
            model = FAMILIES[self.model].fit(frames, len(classes), options, self.seed, told)
        self._learned = Learned(
            name=self.model,
            options=options,
            model=model,
            features=self.features,
            standardiser=standardiser,
            classes=classes,
            pool=pool,
            smooth=smooth,
            shape=shape,
            recordings=tuple(names),
            seed=self.seed,
        )
        return self

    def predict_proba(self, recordings: Recordings) -> list[Float[np.ndarray, "_ K"]]:
        """Probability of every class in every frame, ``(T, K)`` per recording; rows sum to 1.

        Raises:
            UserError: Not fitted, or the arrays differ in layout from those fitted to.
        """
        learned = self._ready()
        with self._computing():
            return learned.predict_proba(check_arrays(recordings))

    def predict(self, recordings: Recordings) -> list[Int[np.ndarray, " _"]]:
        """The most probable class of every frame, one integer per frame."""
        return [p.argmax(1) for p in self.predict_proba(recordings)]

    def score(self, recordings: Recordings, labels: Recordings) -> float:
        """Macro F1 over the labelled frames of all recordings.

        :func:`neuroduet.actions.metrics.score_actions` gives every metric, with intervals.
        """
        arrays = check_arrays(recordings)
        known = check_labels(labels, arrays, "labels", self.class_names)
        return float(macro_f1(known, self.predict(arrays), len(self.class_names)))

    def latents(self, recordings: Recordings) -> list[Float[np.ndarray, "_ d"]]:
        """Continuous latents of every (pooled) frame, for the models that have any.

        Raises:
            UserError: The model has none.
        """
        learned = self._ready()
        latents = getattr(learned.model, "latents", None)
        if latents is None:
            raise UserError(f"model '{self.model}' has no latents; use s3lds, slds or gmdgm")
        with self._computing():
            return cast(list[np.ndarray], latents(learned.inputs(check_arrays(recordings))))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns of :meth:`predict_proba`."""
        return self._ready().classes

    @property
    def classes_(self) -> Shaped[np.ndarray, " K"]:
        """The same as an array, so that ``classes_[answer]`` says in words what was answered."""
        return np.array(self.class_names)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the fitted segmenter: ``segmenter.json`` and ``segmenter.safetensors``.

        Args:
            folder: Made if needed; an older segmenter in it is replaced.

        Returns:
            The folder.
        """
        write_saved(Path(folder), self._ready())
        return Path(folder)

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
            said, arrays = read_saved(local_or_fetched(source, FILES, revision, token))
            made_with = ("features", "classes", "pool", "smooth", "seed")
            segmenter = cls(
                said["model"], **{name: said[name] for name in made_with}, **said["options"]
            )
            segmenter._learned = restored(said, arrays, segmenter.options, segmenter.features)
            return segmenter

    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write the fitted segmenter and a card; see :class:`~neuroduet.sharing.Shareable`."""
        self.save_pretrained(folder)
        write_card(folder, self.describe(), rights, source)

    def describe(self) -> dict[str, Any]:
        """What the fitted segmenter is, in plain types: what :meth:`save_pretrained` writes.

        Raises:
            UserError: Not fitted.
        """
        return describe(self._ready())

    def _ready(self) -> Learned:
        if self._learned is None:
            raise NotFitted("the segmenter is not fitted; call fit or from_pretrained first")
        return self._learned

    def _computing(self) -> AbstractContextManager[None]:
        """With so many threads as were asked for; those of trees are an option of theirs."""
        is_tree = isinstance(self.options, TreeOptions)
        return nullcontext() if is_tree else torch_threads(self.threads)

    def _names(self, labels: Sequence[Labels], words: Sequence[str] | None) -> tuple[str, ...]:
        """Names of the classes that the labels speak of, or of the states to find.

        Args:
            labels: As numbers.
            words: Names that were given, or that the labels held.
        """
        most = max((int(y.max(initial=UNLABELLED)) for y in labels), default=UNLABELLED) + 1
        if most == 0:
            if self.n_states is None and self.classes is None:
                raise UserError(
                    "there are no labels, so the number of states must be given; set n_states"
                )
            return self.classes or tuple(f"state {i}" for i in range(self.n_states or 0))
        if not FAMILIES[self.model].uses_labels:
            # A state that no label taught must not bear the name of a class.
            n_states = self.n_states or max(most, len(words or ()))
            return tuple(f"state {i}" for i in range(n_states))
        if words is None:
            return tuple(str(i) for i in range(most))
        if most > len(words):
            raise UserError(
                f"labels go up to {most - 1}, but only {len(words)} classes are named "
                "(counted from 0); name them all"
            )
        return tuple(words)

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
