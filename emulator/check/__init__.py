"""Finds what a kernel does wrong with its memory: in comes a machine that has not run, out comes a report with findings.

`checked_run` runs the kernel under recording and makes all checks: of the recorded calls (`calls`), of the kernel's own
structures (`structures`), and of what is live at the end (`leaks`). `findings` holds the values that they make.
"""

__all__ = [
    "accesses",
    "check_report",
    "checked_run",
    "findings",
    "later_mistakes",
    "measures",
    "null_accesses",
]
