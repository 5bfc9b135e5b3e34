"""Says what an address of the guest means: its function and source line, the calls around it, the variable or block there.

A machine that stands still, and the image of its kernel, come in at the left. Frames, backtraces, instructions, locations and memory maps
leave at the right, as plain values; their words are made where they are shown.
"""

__all__ = [
    "backtrace",
    "disassembler",
    "executed",
    "frame_registers",
    "locations",
    "locator",
    "memory",
    "memory_map",
    "ram_image",
    "stack",
    "storage",
    "symbolizer",
    "symbols",
    "tasks",
]
