"""Linear models of activity from the activity of other units, tuned for each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from neuroduet.baselines.encoders import answers
from neuroduet.baselines.signals import shown_activity
from neuroduet.baselines.units_groups import by_group, by_window, joined, shown_units, task_groups
from neuroduet.baselines.units_latents import Scaling
from neuroduet.baselines.units_rule import UnitRule, fit_rule, tuning_data
from neuroduet.types import NEURAL, Batch, Masks, Prediction, SessionInfo, UnitQuestions


@dataclass(frozen=True, kw_only=True)
class UnitRegression:
    """Each hidden unit from the visible units of the same window.

    Attributes:
        session: The session it was fitted on; it predicts no other.
        scaling: Of the activity.
        null: What is said of units that are not asked about: log-rates or traces, ``(N,)``.
        rules: By task.
        name: Name in score tables.
    """

    session: str
    scaling: Scaling
    null: Float[Tensor, " N"]
    rules: Mapping[str, UnitRule]
    name: str = "reduced_rank_units"

    def predict(self, batch: Batch, masks: Masks, task: str) -> Prediction:
        """Predict every unit from the visible units other than itself.

        Args:
            batch: Windows.
            masks: What is visible: a unit counts as visible in a window only if none of its bins
                there is hidden.
            task: Name of the task, which says whose weights are used.

        Returns:
            Log of the expected count per bin, or expected traces.
        """
        if not answers(self.session, batch, masks, task, NEURAL, frozenset(self.rules)):
            return Prediction(activity=None)
        rule = self.rules[task]
        signal = self._signal(batch, masks, rule)
        return Prediction(activity=by_window(rule.predict, signal, shown_units(batch, masks)))

    def predict_units(
        self, batch: Batch, masks: Masks, questions: UnitQuestions, task: str
    ) -> Float[Tensor, "B T N"] | None:
        """Answer many questions at once; those that differ by the asked unit only share a solve.

        Args:
            batch: Windows with all activity.
            masks: What may be seen before any unit is hidden.
            questions: Which units each question hides and asks about.
            task: Name of the task.

        Returns:
            Log expected counts, or traces; the mean where nothing is asked. ``None`` for a task
            or session that has no weights.
        """
        if not answers(self.session, batch, masks, task, NEURAL, frozenset(self.rules)):
            return None
        rule = self.rules[task]
        signal = self._signal(batch, masks, rule).flatten(0, 1)
        groups = joined(questions, shown_units(batch, masks).all(dim=0))
        found = by_group(rule.predict, signal, groups, self.null)
        return found.unflatten(0, batch.valid.shape)

    def _signal(self, batch: Batch, masks: Masks, rule: UnitRule) -> Tensor:
        shown = shown_activity(batch, masks, self.scaling.mean)
        return self.scaling.of(shown, batch.valid, rule.sigma_bins)


def fit_unit_regression(train: Batch, valid: Batch, info: SessionInfo) -> UnitRegression:
    """Regression on the principal components of the visible units, tuned under each task's hiding.

    Activity is smoothed and divided by the root of its mean. Its probabilistic principal
    components are inferred from the visible units alone, and read out either as they are (rates)
    or by a ridge-penalised Poisson regression (log-rates). Smoothing, rank, link, penalty, floor
    and ceiling are those with the best validation score of the task; traces are read out as they
    are.

    Args:
        train: Training windows.
        valid: Validation windows.
        info: The session.

    Returns:
        The predictor; it answers ``co_smoothing`` and, for a session with named regions,
        ``intra_region`` and ``inter_region``.
    """
    data = tuning_data(train, valid, info)
    rules = {task: fit_rule(data, groups) for task, groups in task_groups(info).items()}
    return UnitRegression(session=info.id, scaling=data.scaling, null=data.null, rules=rules)
