"""Readers of the formats in which recordings are kept, one module per format."""
