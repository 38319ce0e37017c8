"""Neural encoding and decoding with one multimodal masked transformer.

The names below are imported when they are first used, so that ``import neuroduet`` is instant.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroduet.actions.segmenter import Segmenter
    from neuroduet.config import Config, load_config
    from neuroduet.conversions import (
        from_pandas,
        from_pynapple,
        from_xarray,
        read_predictions,
        to_pandas,
        to_pynapple,
        to_xarray,
        windows,
    )
    from neuroduet.data.recording import check, from_arrays, load, save
    from neuroduet.data.session import open_sessions
    from neuroduet.errors import UserError
    from neuroduet.estimators import Decoder, Encoder
    from neuroduet.report.page import write_report
    from neuroduet.simulate import simulate
    from neuroduet.tasks.crossval import cross_validate
    from neuroduet.tasks.run import baselines as score_baselines
    from neuroduet.tasks.run import embed_run as embed
    from neuroduet.tasks.run import evaluate_run as evaluate
    from neuroduet.tasks.run import predict_run as predict
    from neuroduet.training.finetune import finetune
    from neuroduet.training.fit import train
    from neuroduet.training.hub import from_pretrained, push_to_hub, save_pretrained
    from neuroduet.training.runs import load_run

__version__ = "0.1.0"

__all__ = [
    "Config",
    "Decoder",
    "Encoder",
    "Segmenter",
    "UserError",
    "check",
    "cross_validate",
    "embed",
    "evaluate",
    "finetune",
    "from_arrays",
    "from_pandas",
    "from_pretrained",
    "from_pynapple",
    "from_xarray",
    "load",
    "load_config",
    "load_run",
    "open_sessions",
    "predict",
    "push_to_hub",
    "read_predictions",
    "save",
    "save_pretrained",
    "score_baselines",
    "simulate",
    "to_pandas",
    "to_pynapple",
    "to_xarray",
    "train",
    "windows",
    "write_report",
]

_HOMES = {
    "Config": ("neuroduet.config", "Config"),
    "Decoder": ("neuroduet.estimators", "Decoder"),
    "Encoder": ("neuroduet.estimators", "Encoder"),
    "Segmenter": ("neuroduet.actions.segmenter", "Segmenter"),
    "UserError": ("neuroduet.errors", "UserError"),
    "check": ("neuroduet.data.recording", "check"),
    "cross_validate": ("neuroduet.tasks.crossval", "cross_validate"),
    "embed": ("neuroduet.tasks.run", "embed_run"),
    "evaluate": ("neuroduet.tasks.run", "evaluate_run"),
    "finetune": ("neuroduet.training.finetune", "finetune"),
    "from_arrays": ("neuroduet.data.recording", "from_arrays"),
    "from_pandas": ("neuroduet.conversions", "from_pandas"),
    "from_pretrained": ("neuroduet.training.hub", "from_pretrained"),
    "from_pynapple": ("neuroduet.conversions", "from_pynapple"),
    "from_xarray": ("neuroduet.conversions", "from_xarray"),
    "load": ("neuroduet.data.recording", "load"),
    "load_config": ("neuroduet.config", "load_config"),
    "load_run": ("neuroduet.training.runs", "load_run"),
    "open_sessions": ("neuroduet.data.session", "open_sessions"),
    "predict": ("neuroduet.tasks.run", "predict_run"),
    "push_to_hub": ("neuroduet.training.hub", "push_to_hub"),
    "read_predictions": ("neuroduet.conversions", "read_predictions"),
    "save": ("neuroduet.data.recording", "save"),
    "save_pretrained": ("neuroduet.training.hub", "save_pretrained"),
    "score_baselines": ("neuroduet.tasks.run", "baselines"),
    "simulate": ("neuroduet.simulate", "simulate"),
    "to_pandas": ("neuroduet.conversions", "to_pandas"),
    "to_pynapple": ("neuroduet.conversions", "to_pynapple"),
    "to_xarray": ("neuroduet.conversions", "to_xarray"),
    "train": ("neuroduet.training.fit", "train"),
    "windows": ("neuroduet.conversions", "windows"),
    "write_report": ("neuroduet.report.page", "write_report"),
}


class _Package(ModuleType):
    """A package whose public names are never hidden by a module of the same name."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing neuroduet.simulate binds that module here, over the function simulate.
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    """Import a public name from the module that holds it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'neuroduet' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
