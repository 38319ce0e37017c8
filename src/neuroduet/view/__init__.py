"""Look at recordings, predictions and actions in a browser, and correct labels by hand."""

from neuroduet.view.server import View, serve

__all__ = ["View", "serve"]
