from __future__ import annotations

import numpy as np
import pandas as pd

from neuroduet.report.unit_table import MOST_BEST, MOST_WORST, unit_table


def units_of(session: str, values, task: str = "encoding") -> pd.DataFrame:
    names = [f"u{i}" for i in range(len(values))]
    table = pd.DataFrame({"unit": names, "value": values, "session": session, "task": task})
    return table.assign(metric="bits_per_spike", region="CA1", rate_hz=2.0)


def texts(table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_units_are_ranked_by_name_with_their_scores_in_every_task():
    parts = [units_of("a", [0.1, 0.5, -0.2]), units_of("a", [0.3, np.nan, 0.4], "co_smoothing")]
    table = unit_table(pd.concat(parts).replace({"region": {"CA1": "root"}}))
    assert table is not None
    assert [cell.text for cell in table.columns] == [
        *("unit", "region", "rate", "encoding", "co-smoothing")
    ]
    assert texts(table) == [
        ["u1", "–", "2.0 Hz", "0.500", "–"],
        ["u0", "–", "2.0 Hz", "0.100", "0.300"],
        ["u2", "–", "2.0 Hz", "-0.200", "0.400"],
    ]


def test_units_of_several_sessions_stand_under_their_session():
    table = unit_table(pd.concat([units_of("a", [0.1]), units_of("b", [0.2])]))
    assert table is not None
    assert [row[:3] for row in texts(table)] == [["b", "u0", "CA1"], ["a", "u0", "CA1"]]
    assert table.keys == 3


def test_a_long_table_holds_the_best_and_the_worst_units():
    n = MOST_BEST + MOST_WORST + 1
    table = unit_table(units_of("a", np.linspace(1.0, 0.0, n)))
    assert table is not None
    names = [row[0].text for row in table.rows]
    assert len(names) == n - 1
    assert names[0] == "u0"
    assert names[-1] == f"u{n - 1}"
    assert f"u{MOST_BEST}" not in names
    assert f"{n} units" in table.text


def test_without_a_score_there_is_no_table():
    assert unit_table(units_of("a", [np.nan])) is None
    assert unit_table(units_of("a", [0.1]).assign(metric="psth_r2")) is None
