"""Exit statuses of the command, and the errors that only a command line can have."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """What the command's exit status says; documented in docs/exit_codes.md."""

    GOOD = 0
    FINDINGS = 1
    COMMAND_LINE = 2
    NOT_RUN = 3
    BUDGET = 4
    HUNG_UP = 129  # as a shell says for SIGHUP
    INTERRUPTED = 130  # for SIGINT
    PIPE_CLOSED = 141  # for SIGPIPE
    TERMINATED = 143  # for SIGTERM


class CommandLineError(Exception):
    """The command line is wrong; the text says how."""


class OutputError(Exception):
    """A file for output cannot be written; the text says which and why."""
