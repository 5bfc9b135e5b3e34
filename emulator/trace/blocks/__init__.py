"""Blocks of memory: the table of calls and what the profile says of their functions come in, the life of every block goes out."""

__all__ = [
    "block_functions",
    "blocks",
    "flat_areas",
    "function_calls",
    "history",
    "operations",
    "overlaps",
    "places",
]
