"""Training: the engine's thin shell around the functional core."""
