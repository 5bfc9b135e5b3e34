"""The commands of `kmemu`, a module each: options are checked, data is made or read, a reporter is called."""

__all__ = [
    "boot",
    "check",
    "check_injection",
    "check_output",
    "diff",
    "doctor",
    "export",
    "gdb",
    "inspect",
    "report",
    "step",
    "trace",
]
