"""Every page: sections of tables and figures, filled into one template that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from neuroduet.report.style import Plate, balanced
from neuroduet.training.files import write_text

WIDEST = 4
"""Tiles in a row of a wide page."""

LONG = 30
"""Tables of the second rank are folded from this many rows on."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A word or number of a page.

    Attributes:
        text: What is printed.
        title: Definition that shows on hover; empty for none.
        kind: Classes of the style sheet: ``best``, ``own``, ``ref``, ``text``, ``word``; of a
            verdict ``good``, ``even``, ``low``, ``bad``.
        note: What stands beneath it in a table, in small print: an interval; in a tile behind it.
    """

    text: str
    title: str = ""
    kind: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a page.

    Attributes:
        title: A few words.
        columns: Heads of the columns.
        rows: Cells of each row.
        text: What it answers and how to read it.
        keys: How many columns at the left name the row.
        folded: Whether the reader has to open it; on paper it is open.
    """

    title: str
    columns: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    text: str = ""
    keys: int = 1
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A file to read, folded."""

    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Where a score lies between null and the best possible one, in percent of that way.

    Attributes:
        fill: The score.
        label: The same in words.
        band: Its interval, left and right end.
        rival: The best linear baseline.
    """

    fill: float
    label: str
    band: tuple[float, float] | None = None
    rival: float | None = None


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number to see first.

    Attributes:
        what: What it is the score of.
        value: The number.
        unit: Its metric.
        target: What was predicted, where ``what`` does not say it.
        spread: How far it may lie from that of other data.
        bar: Where it lies.
        verdict: How it compares.
        remarks: Sentences that a reader must not miss.
        references: What to compare it with.
        published: Scores on other data.
    """

    what: str
    value: str
    unit: Cell
    target: str = ""
    spread: str = ""
    bar: Bar | None = None
    verdict: Cell | None = None
    remarks: tuple[str, ...] = ()
    references: tuple[Cell, ...] = ()
    published: tuple[Cell, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it, in this order; ``label`` is what links to it say."""

    id: str
    title: str
    label: str = ""
    text: str = ""
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    items: tuple[str, ...] = ()
    parts: tuple[Table | Plate | Listing, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the heading."""
        return not (self.notes or self.facts or self.items or self.parts)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A page.

    Attributes:
        title: Its heading.
        about: What kind of page it is, in small print above the heading.
        alarms: Sentences that nobody may overlook.
        summary: What a reader takes away in a minute.
        tiles: The main numbers in groups, each with its name.
        sections: The rest; empty ones are left out.
    """

    title: str
    about: str = "neuroduet report"
    alarms: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    tiles: tuple[tuple[str, tuple[Tile, ...]], ...] = ()
    sections: tuple[Section, ...] = ()


def write_sheet(sheet: Sheet, path: Path) -> Path:
    """Write a page.

    Args:
        sheet: Its contents; names in it are escaped.
        path: The file (.html); its folder is made if needed.

    Returns:
        The path.
    """
    shown = tuple(section for section in sheet.sections if not section.empty)
    groups = tuple((name, tiles) for name, tiles in sheet.tiles if tiles)
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        loader=FunctionLoader(_read),
    )
    template = environment.get_template("page.html", globals={"columns": _columns})
    write_text(path, template.render(sheet=replace(sheet, sections=shown, tiles=groups)))
    return path


def cells(*texts: str) -> tuple[Cell, ...]:
    """Cells of plain words."""
    return tuple(Cell(text=text) for text in texts)


def plates(*drawn: Plate | None) -> tuple[Plate, ...]:
    """Those figures that there was something to draw in."""
    return tuple(one for one in drawn if one is not None)


def _columns(tiles: int) -> int:
    """Tiles in a row of a wide page; one or two do not stretch over it."""
    return max(3, balanced(tiles, WIDEST))


def _read(name: str) -> str:
    return files("neuroduet.report").joinpath(name).read_text(encoding="utf-8")
