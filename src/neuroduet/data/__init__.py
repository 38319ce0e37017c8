"""Recordings, windows, splits and batches.

The names below are imported when they are first used, so that importing the package is light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroduet.data.arrays import from_arrays
    from neuroduet.data.batch import plan_epoch
    from neuroduet.data.recording import describe, find_recordings, load, save
    from neuroduet.data.schema import check, describe_behaviours, neural_kind
    from neuroduet.data.session import Session, open_sessions
    from neuroduet.data.splits import check_leakage
    from neuroduet.data.statistics import Statistics
    from neuroduet.data.windows import Windows, make_windows

__all__ = [
    "Session",
    "Statistics",
    "Windows",
    "check",
    "check_leakage",
    "describe",
    "describe_behaviours",
    "find_recordings",
    "from_arrays",
    "load",
    "make_windows",
    "neural_kind",
    "open_sessions",
    "plan_epoch",
    "save",
]

_HOMES = {
    "Session": "session",
    "Statistics": "statistics",
    "Windows": "windows",
    "check": "schema",
    "check_leakage": "splits",
    "describe": "recording",
    "describe_behaviours": "schema",
    "find_recordings": "recording",
    "from_arrays": "arrays",
    "load": "recording",
    "make_windows": "windows",
    "neural_kind": "schema",
    "open_sessions": "session",
    "plan_epoch": "batch",
    "save": "recording",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
