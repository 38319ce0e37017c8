"""Published scores, for orientation: other data, other splits, the same question and metric.

Only numbers printed in a paper stand here. NEDS is missing because its tables were not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

MTM_DATA = "5 held-out IBL sessions"
MTM_PAPER = "MtM (NeurIPS 2024)"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One number of a paper.

    Attributes:
        value: The score, mean over sessions.
        model: What was trained.
        data: What it was scored on.
        source: Paper and table.
    """

    value: float
    model: str
    data: str
    source: str

    def words(self) -> str:
        """Everything that a reader needs to discount the number."""
        return f"{self.model}, mean over {self.data}: {self.source}. Other data and splits."


ACTIVITY_TASKS = ("co_smoothing", "forward", "intra_region", "inter_region")

MTM_TABLES: dict[str, tuple[str, str, tuple[float, float, float, float]]] = {
    "mtm": ("MtM, one session", "table 2", (1.00, 0.28, 0.70, 0.83)),
    "ndt1_temporal": ("NDT1 (temporal), one session", "table 2", (0.55, 0.17, -0.49, 0.18)),
    "ndt2": ("NDT2 with MtM, one session", "table 5", (0.97, 0.36, 0.64, 0.84)),
}
"""By preset: model, table, bits per spike in the order of :data:`ACTIVITY_TASKS`."""

MTM_PRETRAINED: dict[str, tuple[str, str, tuple[float, float, float, float]]] = {
    "mtm": ("MtM, pretrained on 34 sessions", "table 2", (1.11, 0.46, 0.85, 0.96)),
    "ndt1_temporal": (
        "NDT1 (temporal), pretrained on 34 sessions",
        "table 2",
        (0.79, 0.43, -0.08, 0.34),
    ),
    "ndt2": ("NDT2 with MtM, pretrained on 34 sessions", "table 5", (1.01, 0.34, 0.71, 0.87)),
}
"""The same after pretraining and finetuning."""


def published(preset: str | None, task: str, metric: str) -> tuple[Published, ...]:
    """Published scores of a preset's model family on the same question.

    Args:
        preset: Preset of the run; ``*_faithful`` belongs to the family without that word.
        task: Task.
        metric: Metric; published scores of another metric do not compare.

    Returns:
        Alone and after pretraining; nothing where no number was published for the question.
    """
    family = (preset or "").removesuffix("_faithful")
    if metric != "bits_per_spike" or task not in ACTIVITY_TASKS:
        return ()
    place = ACTIVITY_TASKS.index(task)
    return tuple(
        Published(value=values[place], model=model, data=MTM_DATA, source=f"{MTM_PAPER}, {table}")
        for model, table, values in (
            tables[family] for tables in (MTM_TABLES, MTM_PRETRAINED) if family in tables
        )
    )
