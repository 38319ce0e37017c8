"""Names from files are text in the report and in figures, whatever they look like."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hostile_names import EVERY, MARKUP
from report.run_folders import make_run, score, score_rows

from neuroduet.report.page import write_report

TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "nav", "main", "footer", "h1",
    "h2", "h3", "p", "a", "div", "table", "thead", "tbody", "tr", "th", "td", "abbr", "figure",
    "strong", "figcaption", "details", "summary", "dl", "dt", "dd", "pre", "ul", "ol", "li",
    "small", "i", "b", "svg", "g", "path", "text", "tspan", "defs", "use", "clippath", "rect",
    "image", "metadata", "wbr", "rdf:rdf", "cc:work", "dc:type",
}  # fmt: skip
"""What a page of a run is made of."""


class Page(HTMLParser):
    """Collects tags and attributes, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def require_harmless(text: str) -> Page:
    """Only known tags, no handler, no address but those within the page."""
    page = Page(text)
    assert set(page.tags) <= TAGS, set(page.tags) - TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for name, value in page.attributes:
        if name in ("href", "src", "xlink:href", "action", "formaction", "data"):
            assert value.startswith(("#", "data:image/png;base64,")), value
    assert not [one for one in page.comments if "<" in one]
    return page


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = make_run(tmp_path_factory.mktemp("plain") / "run")
    return require_harmless(write_report(run).read_text(encoding="utf-8"))


def test_a_plain_page_is_harmless_and_drawn(plain: Page) -> None:
    assert plain.tags.count("svg") > 5


def hostile_run(folder: Path, names: Sequence[str]) -> Path:
    """A run whose sessions, units, regions, targets and models have these names."""
    run = make_run(folder / "run", names[0], names[1], names[2])
    rows = [
        score(names[i % len(names)], one, task, one, metric, 0.1 * i)
        for i, one in enumerate(names)
        for task, metric in (("decoding", "r2"), (one, one))[: 1 + (i < 2)]
    ]
    own = [*score_rows(names[0]), *rows]
    pd.DataFrame(own).to_csv(run / "scores.csv", index=False)
    units = pd.read_parquet(run / "scores_units.parquet").iloc[[0] * len(names)]
    units = units.assign(unit=names, region=names, session=names)
    units.to_parquet(run / "scores_units.parquet")
    columns = [f"{part}/{name}" for part in ("valid", "train_loss") for name in names[:4]]
    curves = {"step": [10, 20], **{column: [0.1, 0.2] for column in columns}}
    pd.DataFrame(curves).to_csv(run / "metrics.csv", index=False)
    return run


@pytest.mark.parametrize("part", range(2))
def test_a_page_of_hostile_names_has_the_tags_of_a_plain_one(
    tmp_path: Path, plain: Page, part: int
) -> None:
    names = MARKUP[part::2]
    run = hostile_run(tmp_path, names)
    page = require_harmless(write_report(run, title=names[0]).read_text(encoding="utf-8"))
    assert page.tags.count("svg") == plain.tags.count("svg")
    shown = " ".join(" ".join(page.texts).split())
    for name in names:
        assert " ".join(name.split())[:12] in shown


def test_odd_letters_do_not_break_a_page(tmp_path: Path, plain: Page) -> None:
    names = ("bell\x07", "\x1b[2J", "\u202eright", "x" * 5000, "new\nline")
    page = require_harmless(write_report(hostile_run(tmp_path, names)).read_text(encoding="utf-8"))
    assert page.tags.count("svg") == plain.tags.count("svg")


@pytest.mark.parametrize("part", range(3))
def test_classes_of_actions_are_text_in_figures(part: int) -> None:
    from neuroduet.report.actions import confusion_matrix, ethogram

    names = tuple(name or "x" for name in EVERY[part::9])
    labels = np.arange(10 * len(names)) // 10
    sure = np.eye(len(names))[labels]
    drawn = ethogram(labels, labels, sure, names, title=names[0], frame_s=0.1)
    require_harmless(f"<html><body>{drawn.svg}</body></html>")
    matrix = confusion_matrix([labels], [labels], names)
    require_harmless(f"<html><body>{matrix.svg}</body></html>")


def test_names_in_a_table_are_no_markup_of_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from neuroduet.console import print_table, write

    print_table(("name",), [("[bold red]x[/]",), ("[link=file:///etc]y[/link]",)])
    write("[bold]z[/bold] :warning:")
    printed = capsys.readouterr().out
    for name in ("[bold red]x[/]", "[link=file:///etc]y[/link]", "[bold]z[/bold] :warning:"):
        assert name in printed
