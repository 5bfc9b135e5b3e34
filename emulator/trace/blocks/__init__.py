"""Blocks of memory: the table of calls and what the profile says of their functions come in, the life of every block goes out."""

__all__ = ["blocks", "function_calls", "history", "operations", "overlaps"]
