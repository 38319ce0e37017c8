"""The model card of a shared run: what a stranger must know before using it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from neuroduet import __version__
from neuroduet.baselines import (
    ACTIVITY_MODELS,
    CATEGORICAL_DECODERS,
    CONTINUOUS_DECODERS,
    ENCODERS,
    TRACE_ENCODERS,
)
from neuroduet.config import Config
from neuroduet.errors import UserError
from neuroduet.metrics.primary import NAMES, QUESTION, primary
from neuroduet.sharing import Rights, cell, front_matter, quoted
from neuroduet.training.description import read_estimator
from neuroduet.training.files import write_text
from neuroduet.training.info import describe_run

CLASSICAL = {
    *ENCODERS,
    *TRACE_ENCODERS,
    *ACTIVITY_MODELS,
    *CONTINUOUS_DECODERS,
    *CATEGORICAL_DECODERS,
}
"""Baselines that a score stands beside."""

COLUMNS = (*NAMES, "value", "null", "oracle")

TAGS = ("electrophysiology", "neural-decoding", "neural-encoding")

LISTED = 20
"""Sessions that are listed one by one."""

NEDS = (
    "Zhang et al., *Neural Encoding and Decoding at Scale*, ICML 2025, "
    "[arXiv:2504.08201](https://arxiv.org/abs/2504.08201)"
)
MTM = (
    'Zhang et al., *Towards a "Universal Translator" for Neural Dynamics at Single-Cell, '
    "Single-Spike Resolution*, NeurIPS 2024, "
    "[arXiv:2407.14668](https://arxiv.org/abs/2407.14668)"
)
POYO = (
    "Azabou et al., *A Unified, Scalable Framework for Neural Population Decoding*, NeurIPS 2023, "
    "[arXiv:2310.16046](https://arxiv.org/abs/2310.16046)"
)
PAPERS = {
    "translator": (NEDS, MTM),
    "neds_published": (NEDS,),
    "mtm_published": (MTM,),
    "ndt2": (MTM,),
    "poyo": (POYO,),
}
"""What to cite, by model."""

Scores = list[dict[str, Any]]


def write_card(folder: Path, config: Config, rights: Rights, source: str) -> None:
    """Write ``README.md`` of a shared folder, from what the folder holds.

    Args:
        folder: Folder with everything but the card.
        config: Settings of the run.
        rights: Licences and data sets.
        source: What to open it by.
    """
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters |= {"cell": cell, "score": _score}
    template = files("neuroduet.training").joinpath("templates/card.md").read_text("utf-8")
    run = describe_run(folder)
    text = environment.from_string(template).render(
        head=front_matter(rights, [*TAGS, config.preset, config.model.name]),
        run=run,
        estimator=_estimator(folder),
        config=config,
        regions=_regions(run["sessions"]),
        listed=LISTED,
        scores=headline_scores(folder, config),
        papers=PAPERS.get(config.model.name, ()),
        version=__version__,
        rights=rights,
        source=quoted(source),
    )
    write_text(folder / "README.md", text)


def _estimator(folder: Path) -> dict[str, Any] | None:
    """What the card says of an estimator: its class, and how its trials were divided."""
    said = read_estimator(folder)
    if said is None:
        return None
    split = Counter(said["split"])
    return {
        "name": said["estimator"],
        "train": split["train"],
        "valid": split["valid"],
        "single": said["single"],
    }


def headline_scores(folder: Path, config: Config) -> Scores:
    """One score per target: the mean over sessions, beside null, best classical model and oracle.

    Args:
        folder: Holds ``scores.csv`` and, if baselines were scored apart, ``baselines.csv``.
        config: Settings of the run, whose preset its scores are filed under.

    Returns:
        Rows with ``task``, ``target``, ``metric``, ``sessions``, ``value``, ``null``,
        ``baseline`` (its value), ``baseline_name`` and ``oracle``; none without scores.

    Raises:
        UserError: A table lacks a column.
    """
    table = _tables(folder)
    if table is None:
        return []
    own = _own_model(table, config)
    asked = table[table.model == own]
    table = table[table.session.isin(asked.session)]
    means = table.groupby(["model", *QUESTION], sort=False)[["value", "null", "oracle"]].mean()
    rows: Scores = []
    for key in primary(asked):
        name, best = _best_classical(means, key)
        numbers = {k: float(x) for k, x in means.loc[(own, *key)].items()}
        said = dict(zip(QUESTION, key, strict=True)) | numbers
        sessions = asked[(asked.task == key[0]) & (asked.target == key[1])].session.nunique()
        rows.append(said | {"sessions": sessions, "baseline": best, "baseline_name": name})
    return rows


def _tables(folder: Path) -> pd.DataFrame | None:
    found = []
    for name in ("scores.csv", "baselines.csv"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            table = pd.read_csv(path, converters=dict.fromkeys(NAMES, str))
        except ValueError as error:
            raise UserError(f"{path} is not a readable table ({error}); evaluate again") from None
        missing = [column for column in COLUMNS if column not in table]
        if missing:
            raise UserError(f"{path} lacks {', '.join(missing)}; evaluate again")
        found.append(table[table["split"] == "test"])
    return pd.concat(found).drop_duplicates(["model", "session", *QUESTION]) if found else None


def _own_model(table: pd.DataFrame, config: Config) -> str:
    """The model that the scores are about: the preset, else the first that is no baseline."""
    names = [str(name) for name in table["model"].unique()]
    others = [n for n in names if n not in CLASSICAL and not n.startswith("oracle")]
    return config.preset if config.preset in names else next(iter(others), "")


def _best_classical(means: pd.DataFrame, key: tuple[Any, ...]) -> tuple[str, float]:
    """Name and mean of the best classical model on one question; no name if none was scored."""
    known = {
        name: float(means.at[(name, *key), "value"])
        for name in sorted(CLASSICAL)
        if (name, *key) in means.index
    }
    known = {name: value for name, value in known.items() if np.isfinite(value)}
    best = max(known, key=lambda name: known[name], default="")
    return best, known.get(best, np.nan)


def _regions(sessions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Units of every region, over all sessions, most first."""
    counts: Counter[str] = Counter()
    for session in sessions:
        counts.update(session["regions"] or {})
    return dict(counts.most_common())


def _score(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"
