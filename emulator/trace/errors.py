"""Errors of trace files."""

from __future__ import annotations

from emulator.errors import EmulatorError


class BadTrace(EmulatorError):
    """A file cannot be read as a trace.

    Attributes:
        path: The file as it was named.
        problem: What is wrong, without the file's name.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class TraceNotWritten(EmulatorError):
    """A trace cannot be written.

    Attributes:
        path: The file as it was named.
        problem: The operating system's reason.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: the trace cannot be written: {problem}")
        self.path = path
        self.problem = problem
