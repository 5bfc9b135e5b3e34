"""Findings about blocks that live at the end of a run."""
