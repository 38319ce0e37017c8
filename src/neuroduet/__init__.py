"""Neural encoding and decoding with one multimodal masked transformer.

The names below are imported when they are first used, so that ``import neuroduet`` is instant.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroduet import actions, config, data, ingest, masking, models, presets, tasks, training
    from neuroduet.actions.segmenter import Segmenter
    from neuroduet.config import Config, load_config, override
    from neuroduet.conversions import (
        from_pandas,
        from_pynapple,
        from_xarray,
        predict,
        read_predictions,
        to_pandas,
        to_pynapple,
        to_xarray,
    )
    from neuroduet.conversions.windows import windows
    from neuroduet.data.recording import check, describe, from_arrays, load, save
    from neuroduet.data.session import open_sessions
    from neuroduet.errors import UserError
    from neuroduet.estimators import Decoder, Encoder
    from neuroduet.export import export
    from neuroduet.presets import PRESETS
    from neuroduet.report.page import write_report
    from neuroduet.simulate import simulate
    from neuroduet.tasks.crossval import cross_validate
    from neuroduet.tasks.run import embed, evaluate, score_baselines
    from neuroduet.training.finetune import finetune
    from neuroduet.training.fit import train
    from neuroduet.training.hub import from_pretrained, push_to_hub, save_pretrained
    from neuroduet.training.info import describe_run
    from neuroduet.training.runs import load_run

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Config",
    "Decoder",
    "Encoder",
    "Segmenter",
    "UserError",
    "actions",
    "check",
    "config",
    "cross_validate",
    "data",
    "describe",
    "describe_run",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "from_arrays",
    "from_pandas",
    "from_pretrained",
    "from_pynapple",
    "from_xarray",
    "ingest",
    "load",
    "load_config",
    "load_run",
    "masking",
    "models",
    "open_sessions",
    "override",
    "predict",
    "presets",
    "push_to_hub",
    "read_predictions",
    "save",
    "save_pretrained",
    "score_baselines",
    "simulate",
    "tasks",
    "to_pandas",
    "to_pynapple",
    "to_xarray",
    "train",
    "training",
    "windows",
    "write_report",
]

_MODULES = frozenset({
    "actions", "config", "data", "ingest", "masking", "models", "presets", "tasks", "training",
})  # fmt: skip
"""Modules that are reached without an import of their own."""

_HOMES = {
    name: module
    for module, names in {
        "neuroduet.actions.segmenter": ("Segmenter",),
        "neuroduet.config": ("Config", "load_config", "override"),
        "neuroduet.conversions": (
            "from_pandas",
            "from_pynapple",
            "from_xarray",
            "predict",
            "read_predictions",
            "to_pandas",
            "to_pynapple",
            "to_xarray",
        ),
        "neuroduet.conversions.windows": ("windows",),
        "neuroduet.data.recording": ("check", "describe", "from_arrays", "load", "save"),
        "neuroduet.data.session": ("open_sessions",),
        "neuroduet.errors": ("UserError",),
        "neuroduet.estimators": ("Decoder", "Encoder"),
        "neuroduet.export": ("export",),
        "neuroduet.presets": ("PRESETS",),
        "neuroduet.report.page": ("write_report",),
        "neuroduet.simulate": ("simulate",),
        "neuroduet.tasks.crossval": ("cross_validate",),
        "neuroduet.tasks.run": ("embed", "evaluate", "score_baselines"),
        "neuroduet.training.finetune": ("finetune",),
        "neuroduet.training.fit": ("train",),
        "neuroduet.training.hub": ("from_pretrained", "push_to_hub", "save_pretrained"),
        "neuroduet.training.info": ("describe_run",),
        "neuroduet.training.runs": ("load_run",),
    }.items()
    for name in names
}
"""The module that holds each public name."""


class _Package(ModuleType):
    """A package whose public names are never hidden by a module of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing neuroduet.simulate binds that module here, over the function simulate.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name from the module that holds it."""
    if name in _MODULES:
        return import_module(f"neuroduet.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'neuroduet' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
