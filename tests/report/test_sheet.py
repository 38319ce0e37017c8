from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroduet.report.sheet import (
    Bar,
    Cell,
    Listing,
    Section,
    Sheet,
    Table,
    Tile,
    cells,
    write_sheet,
)
from neuroduet.report.style import Plate

TABLE = Table(
    title="Scores",
    columns=(Cell(text="model"), Cell(text="r2", title="higher is better")),
    rows=(cells("my_model", "0.5"), (Cell(text="b"), Cell(text="0.7", kind="best", note="± 1"))),
    text="How to read it.",
)


def page(folder: Path, *sections: Section, **parts) -> str:
    path = write_sheet(Sheet(title="T", sections=sections, **parts), folder / "page.html")
    return path.read_text(encoding="utf-8").split("</style>")[1]


def test_the_first_columns_name_a_row_and_the_others_hold_its_numbers(tmp_path):
    text = page(tmp_path, Section(id="a", title="A", parts=(TABLE,)))
    assert '<th class="text" scope="row">my_<wbr>model</th><td>0.5</td>' in text
    assert '<td class="best">0.7<small>± 1</small></td>' in text
    assert '<th scope="col"><abbr title="higher is better" tabindex="0">r2</abbr></th>' in text
    assert "<h3>Scores</h3>" in text
    assert "<details>" not in text


def test_parts_stand_in_their_order_and_what_is_folded_says_how_long_it_is(tmp_path):
    folded = Table(title="More", columns=TABLE.columns, rows=TABLE.rows, folded=True)
    drawn = Plate(name="p", title="Plate", caption="c", svg="<svg></svg>")
    listing = Listing(title="Settings", text="a: <b>")
    text = page(tmp_path, Section(id="a", title="A", parts=(drawn, folded, listing, TABLE)))
    places = [
        text.index(part)
        for part in (
            '<figure id="figure-p">',
            "<summary>More (2 rows)</summary>",
            "<summary>Settings</summary><pre>a: &lt;b&gt;</pre>",
            "<h3>Scores</h3>",
        )
    ]
    assert places == sorted(places)


def test_sections_without_contents_are_left_out_and_links_lead_to_the_others(tmp_path):
    full = [Section(id=name, title=name.upper(), items=("x",)) for name in ("a", "b")]
    empty = Section(id="c", title="C", text="Nothing stands below this.")
    text = page(tmp_path, full[0], empty, full[1])
    assert re.findall(r'<a href="#(\w)">', text) == ["a", "b"]
    assert re.findall(r'<h2 id="(\w)">', text) == ["a", "b"]
    assert "<nav" not in page(tmp_path, full[0], empty)


def test_the_legend_of_bars_stands_where_a_tile_has_one(tmp_path):
    plain = Tile(what="score", value="1", unit=Cell(text="r2"))
    barred = Tile(
        what="score",
        value="1",
        unit=Cell(text="r2"),
        bar=Bar(fill=25.0, label="a quarter", band=(20.0, 30.5), rival=50.0),
    )
    assert "Bars run from" not in page(tmp_path, tiles=(("", (plain,)),))
    text = page(tmp_path, tiles=(("Empty", ()), ("Own", (plain, barred))))
    assert "Bars run from" in text
    assert 'style="left: 20.0%; width: 10.5%"' in text
    assert "Empty" not in text
    assert text.count('class="tile"') == 2


@given(words=st.lists(st.sampled_from(["<b>", "a_b", '"', "'", "&", "_"]), max_size=4))
def test_names_are_text_wherever_they_stand(tmp_path_factory: pytest.TempPathFactory, words):
    name = "".join(words)
    cell = Cell(text=name, title=name, note=name)
    table = Table(title=name, columns=(cell, cell), rows=((cell, cell),), text=name)
    tile = Tile(what=name, value=name, unit=cell, target=name, references=(cell,))
    section = Section(id="a", title=name, notes=(name,), facts=((name, name),), parts=(table,))
    folder = tmp_path_factory.mktemp("names")
    text = page(folder, section, tiles=((name, (tile,)),), alarms=(name,), summary=(name,))
    assert "<b>" not in text
    assert set(re.findall(r"<(wbr|b)\b", text)) <= {"wbr"}
    assert not re.search(r"&(?!amp;|lt;|gt;|#34;|#39;)", text)
