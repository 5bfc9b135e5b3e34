"""Mistakes that the recorded calls alone show: in comes a trace, out come findings about its blocks.

`checks` runs all of them: `frees` and `arguments` look at how blocks are given back, `results` and `overlaps` at which blocks
the allocator hands out. `area` holds what all of them need of one area.
"""
