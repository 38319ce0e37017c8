"""What a reader is: it recognises a source, says what it holds, and reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field
from torch_brain.data import Data

RegionLevel = Literal["allen", "beryl", "cosmos"]
TrialFilter = Literal["none", "neds", "mtm"]
Camera = Literal["left", "right", "body"]


class ReadOptions(BaseModel):
    """What may be chosen when a source is read; a reader leaves aside what it has no use for.

    Attributes:
        session_id: Name of the recording; the source's own name if not given.
        mapping: YAML or JSON file that says which column of the source is what.
        regions: Level at which regions are named.
        min_unit_label: Units with a lower quality label are dropped (IBL: 1 is good).
        min_rate_hz: Units that fire more rarely over the recording are dropped (spikes/s).
        trial_filter: Trials to keep: all that have times, or those of a paper.
        sorter: Spike sorting to use where there are several, e.g. ``iblsorter``.
        pose_likelihood: Keypoints less likely than this become missing.
        camera: Camera whose pose, motion energy and pupil are read (IBL).
        probes: Probes to read, e.g. ``probe00``; all if not given.
        units: Ids of the units to read; all if not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session_id: str | None = None
    mapping: Path | None = None
    regions: RegionLevel = "beryl"
    min_unit_label: float | None = Field(default=None, ge=0, le=1)
    min_rate_hz: float | None = Field(default=None, ge=0)
    trial_filter: TrialFilter = "none"
    sorter: str | None = None
    pose_likelihood: float = Field(default=0.9, ge=0, le=1)
    camera: Camera = "left"
    probes: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a source holds, found without reading it whole.

    Attributes:
        source: What was given: a path or an address.
        session: Name that the recording will have.
        items: What was found, in words: ``{"spikes": "2 probes, 512 units, 9.8 M spikes"}``.
        missing: What a reader of this kind looks for and did not find.
        dropped: What is there and will not be read, each with its reason.
        warnings: What can be read but is of little use as it is, each with a remedy.
        unused: Sources of behaviours that will not be offered, unless a mapping file names them.
        mapping: A mapping file to begin with; empty where one was given, or cannot be proposed.
        unmatched: What the mapping file says and fits no trial, and what is there instead. It is
            among the warnings too, and refused where it fits no session.
    """

    source: str
    session: str
    items: dict[str, str]
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    mapping: str = ""
    unmatched: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Reader(Protocol):
    """Reads recordings of one format.

    Attributes:
        name: Key of the reader, also the option of the command line (``--alf``).
    """

    @property
    def name(self) -> str:
        """Key of the reader."""
        ...

    def recognises(self, path: Path) -> bool:
        """Whether a path looks like this format (a session, or a folder of sessions)."""
        ...

    def sessions(self, path: Path) -> Sequence[Path]:
        """Every session at a path, in the order of their names.

        Raises:
            UserError: There are none.
        """
        ...

    def inspect(self, path: Path, options: ReadOptions) -> Found:
        """What one session holds, without reading its bulk.

        Raises:
            UserError: It cannot be read.
        """
        ...

    def read(self, path: Path, options: ReadOptions) -> Data:
        """One session as a recording that passes :func:`neuroduet.data.recording.check`.

        Raises:
            UserError: Something does not fit; the message names file, field and remedy.
        """
        ...
