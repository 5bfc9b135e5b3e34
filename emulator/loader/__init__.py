"""Kernel files: the name of a file comes in; checked segments, symbols, source lines, variables and unwind rules go out."""

__all__ = [
    "builtin",
    "containers",
    "debug_gaps",
    "disk_file",
    "dwarf",
    "elf",
    "files",
    "frame",
    "functions",
    "image",
    "kasan",
    "layout",
    "multiboot1",
    "multiboot2",
    "segments",
]
