"""Inspect a machine that stands still, and move it forwards and backwards."""

__all__ = ["addresses", "bad_accesses", "step", "writer"]
