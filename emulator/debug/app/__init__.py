"""The terminal program of `kmemu step`."""
