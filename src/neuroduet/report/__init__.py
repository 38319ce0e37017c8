"""What a run looks like: tables, figures and one self-contained page."""
