"""Exit statuses of the command, what they are made of, and the errors that only a command line can have."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.run.ending import Ending


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


def judge_ending(ending: Ending) -> tuple[Status, list[str]]:  # noqa: PLR0911 - one for each ending
    """Return the exit status, and what standard error has to say: no, one or, for a report, several lines."""
    from emulator.run.ending import How  # not every command has a run

    text = "" if ending.error is None else str(ending.error)
    match ending.how:
        case How.EXIT if ending.exit_value:
            code = f"(exit code {ending.exit_code} in QEMU)"
            return Status.FINDINGS, [f"the kernel exited with value {ending.exit_value} {code}"]
        case How.EXIT | How.HALTED | How.OFF if not ending.missed:
            return Status.GOOD, []
        case How.TEXT | How.IDLE | How.LEFT:
            return Status.GOOD, []
        case How.EXIT | How.HALTED | How.OFF | How.RESET | How.BAD_ACCESS:
            from emulator.report.text.ending import ending_text

            missed = f"{ending.missed!r} did not appear: " if ending.missed else ""
            return Status.FINDINGS, [f"{missed}{ending_text(ending)}"]
        case How.DIVERGED:
            return Status.FINDINGS, text.splitlines()
        case How.INTERRUPTED:
            from emulator.report.text.ending import interruption_text

            return Status.INTERRUPTED, [interruption_text(ending)]
        case How.BUDGET:
            from emulator.report.text.ending import budget_text

            return Status.BUDGET, [budget_text(ending)]
    return Status.NOT_RUN, [text]
