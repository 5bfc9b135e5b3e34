"""Inspecting a machine that stands still, and moving it forwards and backwards."""

__all__ = ["addresses", "step", "writer"]
