"""Recordings and predictions as the objects of pandas, xarray and pynapple, and back."""

from __future__ import annotations

from neuroduet.conversions.pandas_tables import from_pandas, to_pandas
from neuroduet.conversions.predictions import predict, read_predictions
from neuroduet.conversions.pynapple_objects import from_pynapple, to_pynapple
from neuroduet.conversions.windows import windows
from neuroduet.conversions.xarray_datasets import from_xarray, to_xarray

__all__ = [
    "from_pandas",
    "from_pynapple",
    "from_xarray",
    "predict",
    "read_predictions",
    "to_pandas",
    "to_pynapple",
    "to_xarray",
    "windows",
]
