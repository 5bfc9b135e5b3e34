"""Mistakes that the recorded calls alone show: in comes a trace, out come findings about its blocks.

`checks` runs all of them: `frees` and `arguments` check how blocks are freed, `results` and `overlaps` at which blocks the
allocator returns.
"""

__all__ = ["checks", "results"]
