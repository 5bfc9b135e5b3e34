"""What a test has to answer for when it has passed: the blocks it took, and the heap it leaves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from emulator.pytest_plugin.guest_failure import FROM_THE_TEST, stack_lines
from emulator.pytest_plugin.settings import Mistake
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.inject.policy import Failures
    from emulator.pytest_plugin.expectations import Expectations, Limit
    from emulator.pytest_plugin.kernel import Kernel
    from emulator.pytest_plugin.machines import BootedKernel
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.recording import CallLog

_STACKS_SHOWN: Final = 4
_FRAMES_SHOWN: Final = 4
_DEFECTS_SHOWN: Final = 5
_ADDRESSES_SHOWN: Final = 3


class KernelChecks:
    """The demands of one test.

    Args:
        kernel: What the test has.
        booted: The same, behind the scenes.
        expected: What its markers say.

    Raises:
        Mistake: They say what does not fit this kernel.
    """

    def __init__(self, kernel: Kernel, booted: BootedKernel, expected: Expectations) -> None:
        self._kernel = kernel
        self._booted = booted
        self._expected = expected
        self._first_event = 1
        self._allocations_before = 0
        for limit in expected.limits:
            self._areas(limit)

    def begin(self) -> None:
        """Count from now on: the fixtures of the test are ready."""
        log = self._booted.log
        if log is not None:
            self._first_event = log.recording.event_count + 1
            self._allocations_before = self._booted.machine.allocations.count
            if self._expected.fail_nth:
                number = self._allocations_before + self._expected.fail_nth
                self._booted.let_fail(_failures(log, number))

    def problem(self) -> str:
        """Return what is wrong now that the test is over, at most 25 lines; "" if nothing is."""
        return "\n".join(next(filter(None, self._problems()), []))

    def _problems(self) -> Iterator[list[str]]:
        log = self._booted.log
        if log is not None:
            yield self._not_failed()
            if self._expected.no_leaks:
                yield self._leaks(log)
            for limit in self._expected.limits:
                for area in self._areas(limit):
                    yield self._above(limit, area, log)
        if self._booted.walk is not None and not self._kernel.died:
            yield _damaged(self._booted.walk.damage())

    def _not_failed(self) -> list[str]:
        if self._booted.failures is None or self._booted.failures.calls:
            return []
        made = self._booted.machine.allocations.count - self._allocations_before
        return [f"kmem_fail_nth({self._expected.fail_nth}): no allocation failed, the test made only {made}"]

    def _leaks(self, log: CallLog) -> list[str]:
        left = {
            area: self._taken(log, area).live_after(log.recording.event_count)
            for area in log.profile.block_areas
        }
        count, total = (
            sum(len(each.born) for each in left.values()),
            sum(int(each.size.sum()) for each in left.values()),
        )
        if not count:
            return []
        lines = [f"{counted(count, 'block')} allocated in this test and not freed, {total} bytes"]
        return [*lines, *self._by_stack(log, left)]

    def _above(self, limit: Limit, area: str, log: CallLog) -> list[str]:
        from emulator.trace.queries.totals import peak_of, usage_of

        blocks = self._taken(log, area)
        peak = peak_of(usage_of(blocks, log.recording.event_count))
        if peak.bytes <= limit.bytes:
            return []
        lines = [f"the test took {peak.bytes} bytes of {area} at its peak, the limit is {limit.bytes} bytes"]
        return [*lines, *self._by_stack(log, {area: blocks.live_after(peak.event)})]

    def _taken(self, log: CallLog, area: str) -> Blocks:
        """Return the blocks that the test itself allocated."""
        blocks = log.blocks(area)
        return blocks.where(blocks.born >= self._first_event)

    def _by_stack(self, log: CallLog, blocks: dict[str, Blocks]) -> list[str]:
        """Return blocks, together if they come from one place; those with most bytes first."""
        groups: dict[tuple[str, str, int], list[tuple[int, int]]] = {}
        for area, each in blocks.items():
            for address, size, born, stack in zip(
                each.address.tolist(),
                each.size.tolist(),
                each.born.tolist(),
                each.stack.tolist(),
                strict=True,
            ):
                groups.setdefault((area, self._kernel.called_from(born), stack), []).append((address, size))
        largest = sorted(groups.items(), key=lambda group: -sum(size for _address, size in group[1]))
        lines: list[str] = []
        for (area, caller, stack), members in largest[:_STACKS_SHOWN]:
            lines.append(f"  {area}: {_members(members)}")
            frames = stack_lines(log.recording.stack(stack), self._booted.machine.image, _FRAMES_SHOWN)
            frames = [each for each in frames if each != FROM_THE_TEST]
            lines += [f"    {frame}" for frame in [*frames, f"{caller} (the test)"]]
        hidden = len(largest) - _STACKS_SHOWN
        return [*lines, f"  ... and {counted(hidden, 'more place')}"] if hidden > 0 else lines

    def _areas(self, limit: Limit) -> tuple[str, ...]:
        log = self._booted.log
        areas = log.profile.block_areas if log is not None else ()
        if limit.area and limit.area not in areas:
            raise Mistake(f"@pytest.mark.kmem_limit: no area {limit.area!r}; there are: {', '.join(areas)}")
        return (limit.area,) if limit.area else areas


def _failures(log: CallLog, number: int) -> Failures:
    from emulator.inject.policy import Failures, Injection

    return Failures(log.recording, log.profile, Injection(nth=number))


def _members(members: list[tuple[int, int]]) -> str:
    shown = ", ".join(f"0x{address:08x}" for address, _size in members[:_ADDRESSES_SHOWN])
    more = "" if len(members) <= _ADDRESSES_SHOWN else f" and {len(members) - _ADDRESSES_SHOWN} more"
    sizes = Counter(size for _address, size in members)
    each = (
        f"{members[0][1]} bytes"
        if len(sizes) == 1
        else f"{sum(size for _address, size in members)} bytes in all"
    )
    return f"{counted(len(members), 'block')} of {each} at {shown}{more}"


def _damaged(defects: list[str]) -> list[str]:
    if not defects:
        return []
    lines = [
        "the kernel's heap is damaged after this test:",
        *(f"  {each}" for each in defects[:_DEFECTS_SHOWN]),
    ]
    hidden = len(defects) - _DEFECTS_SHOWN
    return [*lines, f"  ... and {hidden} more"] if hidden > 0 else lines
