"""What a case may take, measured in the process that runs it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_OVER = 0.5
"""Besides 1.2 times its `--timeout`."""
BYTES_OVER = 300 << 20
"""Besides the guest's RAM and what the process had before its first case; of a process of its own, besides RAM only."""

_TIMEOUT_SHARE = 1.2
_STATUS, _FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class OverLimit(Exception):
    """A case took too long or too much memory."""


class TooSlow(OverLimit):
    """A case took too long. Perhaps the host was busy: what counts is whether it does so again."""


class Meter:
    """Measures what the product does in one case.

    Args:
        before: Bytes that the process had before its first case: a fork has all that its parent has.

    Attributes:
        seconds: The most that anything took besides 1.2 times its time budget; negative if all stayed below.
        size: The most bytes that the process had besides guest RAM and those.
    """

    def __init__(self, before: int = 0) -> None:
        self._before = before
        self.seconds = -1e9
        self.size = 0

    @contextmanager
    def watch(self, timeout_s: float, ram: int) -> Iterator[None]:
        """Measure what happens inside the block.

        Args:
            timeout_s: What it was given as its time budget.
            ram: Bytes of guest RAM.

        Raises:
            OverLimit: It was too much.
        """
        _FORGET_PEAK.write_text("5")
        started = time.monotonic() - waited_s("thread-self")
        yield
        seconds = time.monotonic() - waited_s("thread-self") - started
        self.note(seconds, peak() - self._before, timeout_s, ram)

    def note(self, seconds: float, size: int, timeout_s: float, ram: int) -> None:
        """Compare figures with the limits.

        Raises:
            OverLimit: It was too much.
        """
        seconds -= _TIMEOUT_SHARE * timeout_s
        size -= ram
        if size > BYTES_OVER:
            raise OverLimit(f"{size >> 20} MiB besides {ram >> 20} MiB of RAM")
        if seconds > SECONDS_OVER:
            raise TooSlow(f"{seconds:.2f} s besides 1.2 times {timeout_s:g} s")
        self.seconds = max(self.seconds, seconds)
        self.size = max(self.size, size)


def waited_s(process: int | str) -> float:
    """Return how long a process could have run but had no CPU: what other work on this host has cost it.

    Linux: Documentation/scheduler/sched-stats.rst.
    """
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9


def resident() -> int:
    """Return how many bytes of memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def peak() -> int:
    """Return the most bytes of memory that this process has had since the last call of `Meter.watch`."""
    (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10
