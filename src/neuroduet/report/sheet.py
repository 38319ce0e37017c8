"""A page of sections, tables and figures, filled into one template that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined

from neuroduet.report.style import Plate
from neuroduet.training.files import write_text


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A word or number of a table.

    Attributes:
        text: What is printed.
        title: Definition that shows on hover; empty for none.
        kind: Classes of the style sheet: ``best``, ``own``, ``ref``, ``word``.
    """

    text: str
    title: str = ""
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a page.

    Attributes:
        title: A few words.
        columns: Heads of the columns.
        rows: Cells of each row.
        caption: How to read it.
        keys: How many columns at the left name the row.
        folded: Whether the reader has to open it.
    """

    title: str
    columns: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    keys: int = 1
    folded: bool = False


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number to see first.

    Attributes:
        what: What it is the score of.
        value: The number.
        unit: Its metric, with its definition.
        references: What to compare it with.
    """

    what: str
    value: str
    unit: Cell
    references: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it, in this order."""

    id: str
    title: str
    text: str = ""
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    items: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    plates: tuple[Plate, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the heading."""
        return not (self.notes or self.facts or self.items or self.tables or self.plates)


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A page.

    Attributes:
        title: Its heading.
        alarms: Sentences that nobody may overlook.
        summary: What a reader takes away in a minute.
        tiles: The main numbers.
        sections: The rest; empty ones are left out.
    """

    title: str
    alarms: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()
    tiles: tuple[Tile, ...] = ()
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
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        loader=FunctionLoader(_read),
    )
    template = environment.get_template("sheet.html")
    write_text(path, template.render(sheet=replace(sheet, sections=shown)))
    return path


def cells(*texts: str) -> tuple[Cell, ...]:
    """Cells of plain words."""
    return tuple(Cell(text=text) for text in texts)


def _read(name: str) -> str:
    return files("neuroduet.report").joinpath(name).read_text(encoding="utf-8")
