from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from run_folders import score

from neuroduet.report.figures import learning_curves
from neuroduet.report.headlines import headlines
from neuroduet.report.intervals import Interval
from neuroduet.report.session_figure import session_dots
from neuroduet.report.style import INK, decimal, jitter, markings, plate, short, styled
from neuroduet.report.tables import summary_table
from neuroduet.report.units import embedding_map, region_confusion, unit_scores


def unit_table(values, **columns) -> pd.DataFrame:
    rows = {"metric": "bits_per_spike", "task": "encoding", "unit": "u", "value": values}
    return pd.DataFrame(rows | columns)


@styled
def drawing(text: str) -> Figure:
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().set_title(text, color=INK)
    return figure


def test_ink_follows_the_colour_of_the_page():
    svg = plate(drawing("title"), name="one", title="One", caption="").svg
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert INK not in svg


def test_a_name_with_dollar_signs_is_no_formula_and_no_markup():
    svg = plate(drawing("<b>$\\frac{$ & unit"), name="one", title='"<One>"', caption="").svg
    assert "&lt;b&gt;$\\frac{$ &amp; unit" in svg
    assert 'aria-label="&quot;&lt;One&gt;&quot;"' in svg


def test_a_name_the_font_lacks_does_not_warn():
    assert "海馬" in plate(drawing("海馬"), name="one", title="One", caption="").svg


def test_drawings_do_not_share_ids():
    first = plate(drawing("a"), name="one", title="", caption="").svg
    second = plate(drawing("a"), name="two", title="", caption="").svg
    assert first.replace("one-", "two-") == second
    assert 'id="one-' in first


def test_curves_without_a_score_are_left_out():
    curves = [("run", pd.DataFrame({"step": [1, 2], "train_loss/activity": [1.0, np.nan]}))]
    assert learning_curves(curves, "valid/") is None
    found = learning_curves(curves, "train_loss/")
    assert found is not None
    assert "activity" in found.svg


def test_the_best_validation_is_written_down():
    curve = pd.DataFrame({"step": [1, 2, 3], "valid/wheel": [0.1, 0.57, 0.3]})
    found = learning_curves([("run", curve)], "valid/")
    assert found is not None
    assert "best 0.57" in found.svg


def test_the_best_of_an_ensemble_is_that_of_its_best_member():
    first = pd.DataFrame({"step": [1, 2], "valid/wheel": [0.1, 0.2]})
    second = pd.DataFrame({"step": [1, 2], "valid/wheel": [0.4, np.nan]})
    found = learning_curves([("member 00", first), ("member 01", second)], "valid/")
    assert found is not None
    assert "best 0.40" in found.svg


def test_units_are_drawn_without_regions_and_rates():
    found = unit_scores(unit_table([0.1, 0.2, np.nan]))
    assert found is not None
    assert "all units (2)" in found.svg
    assert "firing rates were not stored" in found.svg


def test_rare_regions_are_drawn_together():
    names = [f"R{i:02d}" for i in range(25) for _ in range(1 + (i < 20))]
    found = unit_scores(unit_table(np.linspace(0, 1, len(names)), region=names, rate_hz=1.0))
    assert found is not None
    assert "other regions (5)" in found.svg


def test_a_short_axis_of_rates_has_plain_numbers():
    rates = np.linspace(2.5, 8.0, 12)
    found = unit_scores(unit_table(np.linspace(0, 1, 12), rate_hz=rates))
    assert found is not None
    for tick in "3456":
        assert f">{tick}<" in found.svg
    assert "mathdefault" not in found.svg


def test_units_beyond_the_axis_are_counted():
    values = [*np.linspace(0.0, 0.2, 50), -40.0]
    found = unit_scores(unit_table(values, rate_hz=1.0))
    assert found is not None
    assert "1 unit, the worst, lies outside the axes" in found.caption


def test_no_well_predicted_unit_lies_beyond_the_axis():
    values = [*np.linspace(0.0, 0.02, 50), 0.5]
    names = [f"u{i}" for i in range(50)] + ["best"]
    found = unit_scores(unit_table(values, rate_hz=1.0).assign(unit=names))
    assert found is not None
    assert "outside" not in found.caption
    for tick in ("0.5", "best"):
        assert f">{tick}<" in found.svg
    assert ">u0<" not in found.svg


def test_no_unit_gives_no_figure():
    assert unit_scores(unit_table([np.nan])) is None
    assert unit_scores(unit_table([0.1]), "r2") is None


def test_the_embedding_map_says_how_much_variance_it_shows():
    # Variance 9 : 1 along two axes and none along the third.
    table = pd.DataFrame({"session": "a", "unit": list("wxyz")})
    table = table.assign(e0=[3.0, -3.0, 0.0, 0.0], e1=[0.0, 0.0, 1.0, -1.0], e2=7.0)
    found = embedding_map(table)
    assert found is not None
    assert "component 1 (90 % of variance)" in found.svg
    assert "component 2 (10 % of variance)" in found.svg
    assert found.svg.count("component 1") == 1


def test_sessions_are_told_apart_in_the_embedding_map_where_there_are_several():
    table = pd.DataFrame({"session": list("aabb"), "unit": list("wxyz"), "region": "CA1"})
    table = table.assign(e0=[3.0, -3.0, 0.0, 0.0], e1=[0.0, 0.0, 1.0, -1.0])
    found = embedding_map(table)
    assert found is not None
    assert "by region" in found.svg
    assert "by session" in found.svg
    alone = embedding_map(table.assign(session="a"))
    assert alone is not None
    assert "by region" in alone.svg
    assert "by session" not in alone.svg


def test_the_embedding_map_says_whether_its_first_axis_is_the_firing_rate():
    rate_hz = np.geomspace(0.5, 50.0, 12)
    names = [f"u{i}" for i in range(12)]
    table = pd.DataFrame({"session": "a", "unit": names, "e0": np.log(rate_hz), "e1": 0.0})
    units = unit_table(np.zeros(12), session="a", rate_hz=rate_hz).assign(unit=names)
    found = embedding_map(table, units)
    assert found is not None
    assert "firing rate at r = 1.00: it says mostly how much a unit fires" in found.caption
    other = embedding_map(table, units.assign(rate_hz=np.tile([1.0, 2.0], 6)))
    assert other is not None
    assert "mostly" not in other.caption
    few = embedding_map(table[:9], units[:9])
    assert few is not None
    assert "firing rate" not in few.caption


def test_too_few_units_give_no_map():
    table = pd.DataFrame({"session": "a", "unit": ["x", "y"], "e0": [0.0, 1.0], "e1": [1.0, 0.0]})
    assert embedding_map(table) is None


def test_marks_tell_thirty_two_names_apart():
    marks = markings(f"name {i}" for i in range(32))
    assert len(set(marks.values())) == 32


def test_long_names_keep_both_ends():
    name = short("a" * 30 + "-probe00", 20)
    assert len(name) == 20
    assert name.startswith("aaa")
    assert name.endswith("obe00")
    assert short("short") == "short"


def test_small_negative_numbers_have_no_sign():
    assert decimal(-0.001) == "0.00"
    assert decimal(-0.01) == "-0.01"


@pytest.mark.parametrize("n", [0, 1, 50])
def test_jitter_stays_in_its_lane_and_is_always_the_same(n):
    offsets = jitter(n, 0.4)
    assert len(offsets) == n
    assert (np.abs(offsets) <= 0.2).all()
    np.testing.assert_array_equal(offsets, jitter(n, 0.4))


def test_regions_that_were_taken_for_others_have_a_table() -> None:
    units = pd.DataFrame(
        {"region": ["CA1"] * 4 + ["VISp"] * 2, "guess": ["CA1"] * 3 + ["VISp"] * 3}
    )
    drawn = region_confusion(units)
    assert drawn is not None
    for text in ("CA1 (4)", "VISp (2)", "0.75", "0.25", "1.00"):
        assert text in drawn.svg
    assert region_confusion(units[units["region"] == "VISp"]) is None


def test_a_region_that_only_was_guessed_has_no_fractions() -> None:
    units = pd.DataFrame({"region": ["CA1", "CA1", "VISp"], "guess": ["CA1", "LP", "VISp"]})
    drawn = region_confusion(units)
    assert drawn is not None
    assert "LP (0)" in drawn.svg
    assert drawn.svg.count(">0.00<") == 3


def test_the_read_out_of_regions_is_no_session_of_the_figure():
    rows = [
        score("duet", "a", "decoding", "wheel", "r2", 0.6),
        score("duet", "a (folds over units)", "regions", "region", "balanced_accuracy", 0.5),
    ]
    scores = pd.DataFrame(rows)
    found = headlines(summary_table(scores), "duet")
    known = Interval(value=0.6, low=0.5, high=0.7, n=24, over="test windows")
    over = {("decoding", "wheel", "r2", "a"): known}
    plate = session_dots(scores, found, "duet", over, ["a"])
    assert "of 2 sessions" not in plate.caption
    more = pd.concat([scores, scores.assign(session="b")])
    assert "1 of 2 sessions" in session_dots(more, found, "duet", over, ["a"]).caption


def test_units_of_no_known_region_are_drawn_together() -> None:
    names = ["CA1", "CA1", "", "Unknown", "void"]
    found = unit_scores(unit_table(np.linspace(0, 1, 5), region=names, rate_hz=1.0))
    assert found is not None
    assert "unknown (3)" in found.svg
    assert "void" not in found.svg
