"""Read what physical memory is used for: a stopped machine comes in, a `MemoryMap` (plain data) leaves.

What draws it or writes it as JSON is in `emulator.report`.
"""

__all__ = ["backing", "memory_map", "reader", "regions", "space_reader", "spaces"]
