"""One face for all segmentation models: arrays of pose or features in, classes per frame out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.base import BaseEstimator

from neuroduet.actions.card import write_card
from neuroduet.actions.families import FAMILIES
from neuroduet.actions.inputs import (
    FeatureKind,
    Recordings,
    check_arrays,
    check_labels,
    check_options,
    feature_options,
    finds_states,
    name_classes,
    positive,
)
from neuroduet.actions.learned import Learned, learn
from neuroduet.actions.metrics import macro_f1
from neuroduet.actions.model import Report, silent
from neuroduet.actions.saved import FILES, describe, read_saved, restored, write_saved
from neuroduet.actions.threads import torch_threads
from neuroduet.actions.tree_options import TreeOptions
from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, unknown
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import NotFitted, Rights, Shareable, write_folder
from neuroduet.terminal import counted


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
        told = None if report is silent else report
        with counted("steps", told, self.verbose) as told, self._computing():
            self._learned = learn(
                self.model,
                arrays,
                known,
                hinted,
                words=words,
                n_states=self.n_states,
                features=self.features,
                options=self._given,
                pool=self.pool,
                smooth=self.smooth,
                seed=self.seed,
                report=told,
                names=names,
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

        Raises:
            UserError: Arrays or labels do not fit, or what was found are states, not classes.
        """
        if finds_states(self.class_names):
            raise UserError(
                "the states of a segmenter that used no labels are no classes; score what it "
                "predicts with neuroduet.actions.metrics.score_states, which matches them"
            )
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

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        licence: str | None = None,
        data_licence: str | None = None,
        datasets: Sequence[str] = (),
    ) -> Path:
        """Write the fitted segmenter with its card; see :func:`neuroduet.save_pretrained`."""
        rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
        write_folder(self, Path(folder), rights)
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
            names = said["classes"]
            known = {"n_states": len(names)} if finds_states(names) else {"classes": names}
            made_with = {name: said[name] for name in ("features", "pool", "smooth", "seed")}
            segmenter = cls(said["model"], **known, **made_with, **said["options"])
            segmenter._learned = restored(said, arrays, segmenter.options, segmenter.features)
            return segmenter

    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write the fitted segmenter and a card; see :class:`~neuroduet.sharing.Shareable`."""
        write_saved(folder, self._ready())
        write_card(folder, self.describe(), rights, source)

    def describe(self) -> dict[str, Any]:
        """What the fitted segmenter is, in plain types: what :meth:`save_pretrained` writes."""
        return describe(self._ready())

    def _ready(self) -> Learned:
        if self._learned is None:
            raise NotFitted("the segmenter is not fitted; call fit or from_pretrained first")
        return self._learned

    def _computing(self) -> AbstractContextManager[None]:
        """With so many threads as were asked for; those of trees are an option of theirs."""
        return torch_threads(None if isinstance(self.options, TreeOptions) else self.threads)
