"""Write values as lines, for people: a value and a `Style` come in, lines leave.

Whatever a kernel, a trace or a user named is made `printable` here. Nothing here makes JSON: that is `emulator.report.documents`.
"""

__all__ = [
    "calls",
    "campaign",
    "discovery",
    "ending",
    "findings",
    "frames",
    "gaps",
    "inspection",
    "lacks",
    "memory_map",
    "page_directory",
    "run",
    "style",
    "trace_difference",
    "trace_summary",
]
