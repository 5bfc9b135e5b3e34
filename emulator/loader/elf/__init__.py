"""ELF32: the bytes of a file come in; its headers, sections and symbols, checked, go out."""

__all__ = ["compression", "headers", "symbols"]
