"""What the decoder and the encoder share: parameters, fitting, and asking the fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator

from neuroduet.config import Config
from neuroduet.data.boundary import reading
from neuroduet.errors import UserError, as_path, unknown
from neuroduet.estimators.fitting import (
    Activity,
    Fitted,
    configure,
    divide,
    learn,
    record,
    require_classes,
)
from neuroduet.estimators.forms import by_name, is_single, require_activity, trial_bins
from neuroduet.estimators.reading import read_trials
from neuroduet.estimators.saved import files_of, read_saved
from neuroduet.metrics.primary import PRIMARY_METRICS
from neuroduet.remote import local_or_fetched
from neuroduet.sharing import NotFitted, Rights, Shareable, write_folder
from neuroduet.tasks.collect import Collected, collect
from neuroduet.tasks.scoring import Measured
from neuroduet.tasks.task import Task
from neuroduet.training.hub import FILES, write_run

NESTED = "settings__"
"""Beginning of the name of one setting, as scikit-learn names what lies within a parameter."""

Own = TypeVar("Own", bound="Estimator")


class Estimator(BaseEstimator, Shareable):
    """A model of one session's trials; :class:`Decoder` and :class:`Encoder` say what of what.

    Attributes:
        model_: The trained model (:func:`neuroduet.load_run`).
        split_: ``train`` or ``valid`` for every trial that was fitted.
    """

    def __init__(
        self,
        preset: str = "duet",
        *,
        bin_size_s: float = 0.02,
        activity: Activity = "counts",
        validation_fraction: float = 0.1,
        max_minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        verbose: bool = False,
    ) -> None:
        """Only keep the parameters, as scikit-learn expects; fitting looks at them.

        Args:
            preset: What to train: a name of :data:`neuroduet.presets.PRESETS`.
            bin_size_s: Width of a bin (s).
            activity: ``counts`` of spikes, or ``traces`` (calcium, LFP).
            validation_fraction: Share of the trials that does not train but chooses the weights
                to keep; 0 keeps the last ones.
            max_minutes: Bound on the time of training. Only without it are two fits alike bit for
                bit, because a clock never is.
            settings: Other settings by their name in a configuration, laid over the preset:
                ``{"training.max_epochs": 20}``. In :meth:`set_params` and in a grid, one of them
                is ``settings__training.max_epochs``.
            seed: Seed of everything random.
            verbose: Show on standard error how far fitting is.
        """
        self.preset = preset
        self.bin_size_s = bin_size_s
        self.activity = activity
        self.validation_fraction = validation_fraction
        self.max_minutes = max_minutes
        self.settings = settings
        self.seed = seed
        self.verbose = verbose

    def set_params(self: Own, **params: Any) -> Own:
        """Change what the estimator was made with.

        Args:
            **params: By name; ``settings__NAME`` is one of the settings, and leaves the others.

        Returns:
            The estimator itself.
        """
        nested = {key: value for key, value in params.items() if key.startswith(NESTED)}
        super().set_params(**{key: params[key] for key in params if key not in nested})
        if nested:
            own = {key.removeprefix(NESTED): value for key, value in nested.items()}
            self.settings = {**(self.settings or {}), **own}
        return self

    def save_pretrained(
        self,
        folder: Path | str,
        *,
        licence: str | None = None,
        data_licence: str | None = None,
        datasets: Sequence[str] = (),
    ) -> Path:
        """Write the fitted estimator with its card; :meth:`from_pretrained` reads it.

        Args:
            folder: Where to; made if needed, and else empty.
            licence: See :func:`neuroduet.save_pretrained`.
            data_licence: The same.
            datasets: The same.

        Returns:
            The folder, which every command and function that takes a run takes too.

        Raises:
            UserError: Not fitted, or the folder holds files already.
        """
        folder = as_path(folder, "folder")
        rights = Rights(licence=licence, data_licence=data_licence, datasets=datasets)
        write_folder(self, folder, rights)
        return folder

    @classmethod
    def from_pretrained(
        cls: type[Own],
        source: Path | str,
        *,
        revision: str | None = None,
        token: str | None = None,
    ) -> Own:
        """Read what :meth:`save_pretrained` or :meth:`push_to_hub` wrote; no code is executed.

        Args:
            source: Folder, else ``owner/name`` of a repository on the Hugging Face Hub. A folder
                of that name always wins.
            revision: Branch, tag or commit of the repository.
            token: Access token for a private repository; the stored one if not given.

        Returns:
            The estimator, which answers as the one that was saved.

        Raises:
            UserError: There is no such folder or repository, or it holds no such estimator, or
                one that is damaged or of a newer version.
        """
        with reading(source):
            folder = local_or_fetched(source, FILES, revision, token)
            params, fitted = read_saved(folder, cls.__name__)
            estimator = cls(**params)
            estimator._keep(fitted)
        return estimator

    def write_shared(self, folder: Path, rights: Rights, source: str) -> None:
        """Write model, estimator and a card; see :class:`~neuroduet.sharing.Shareable`."""
        fitted = self._ready()
        files = files_of(type(self).__name__, self.get_params(deep=False), fitted)
        write_run(fitted.model, folder, rights, source, files)

    def _learn(self, name: str, activity: Any, behaviours: Any, classes: bool = False) -> Fitted:
        """Train; ``name`` is what the caller calls the activity."""
        config = self._configured()
        require_activity(name, self.activity, activity)
        split = divide(len(trial_bins(name, activity)), self.validation_fraction, self.seed)
        given = by_name(behaviours)
        if not given:
            raise UserError("found no behaviour, expected at least one; give an array of it")
        recording = record(self.activity, activity, self.bin_size_s, given, split)
        if classes:
            require_classes(recording)
        fitted = learn(config, recording, split, is_single(behaviours), self.verbose)
        self._keep(fitted)
        return fitted

    def _keep(self, fitted: Fitted) -> None:
        self._fitted, self.model_, self.split_ = fitted, fitted.model, fitted.split

    def _configured(self) -> Config:
        settings = {} if self.settings is None else self.settings
        if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
            raise UserError(
                f"settings are a {type(self.settings).__name__}, expected a dict by name; give "
                'them like {"training.max_epochs": 20}'
            )
        return configure(self.preset, self.settings, self.seed, self.max_minutes)

    def _ask(
        self, task: Task, name: str, activity: Any, behaviours: Mapping[str, Any]
    ) -> dict[str, Collected]:
        """What the model answers about new trials, by modality, padded to the longest trial."""
        fitted = self._ready()
        for behaviour in behaviours:
            if behaviour not in fitted.behaviours:
                raise unknown("behaviour", behaviour, fitted.behaviours)
        require_activity(name, self.activity, activity)
        split = np.full(len(trial_bins(name, activity)), "train")
        recording = record(self.activity, activity, self.bin_size_s, behaviours, split)
        batches = read_trials(fitted, recording, behaviours)
        return collect(fitted.predictor, batches, task, task.variants(fitted.info))

    def _ready(self) -> Fitted:
        fitted: Fitted | None = getattr(self, "_fitted", None)
        if fitted is None:
            raise NotFitted(
                f"the {type(self).__name__.lower()} is not fitted, expected fit before it; call "
                "fit(X, y)"
            )
        return fitted


def primary_value(measured: Sequence[Measured]) -> float:
    """The value that stands for all that was measured of a target; nan if nothing was."""
    values = {one.metric: one.value for one in measured if not one.channel}
    return next((values[name] for name in PRIMARY_METRICS if name in values), float("nan"))
