"""Check what a test that has passed leaves: the blocks that it took, and the heap."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, cast

import pytest

from emulator.check.findings import Kind
from emulator.errors import EmulatorError
from emulator.pytest_plugin.expectations import expectations_of
from emulator.pytest_plugin.guest_failure import FROM_THE_TEST, caller_lines
from emulator.pytest_plugin.kernel import Kernel
from emulator.pytest_plugin.machines import booted_kernel
from emulator.pytest_plugin.mistakes import Mistakes, lines_of
from emulator.pytest_plugin.settings import BadConfiguration, settings_of
from emulator.wording import counted
from kernel_model.text import defect_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.inject.policy import FaultInjector
    from emulator.pytest_plugin.expectations import Expectations, Limit
    from emulator.pytest_plugin.machines import Booted, BootedKernel
    from emulator.pytest_plugin.settings import Settings
    from emulator.trace.blocks.blocks import Blocks
    from emulator.trace.recording import CallLog

_STACKS_SHOWN: Final = 4
_FRAMES_SHOWN: Final = 4
_DEFECTS_SHOWN: Final = 5
_ADDRESSES_SHOWN: Final = 3


def prepare(item: pytest.Item, base: Settings, machines: object) -> tuple[Kernel, KernelChecks]:
    """Return the kernel for a test, and what is checked after the test. Whatever is wrong ends the test here."""
    try:
        expected = expectations_of(item)
        settings = settings_of(item, base)
        booted = booted_kernel(cast("Booted", machines), settings, recorded=expected.needs_calls)
        kernel = Kernel(booted)
        return kernel, KernelChecks(kernel, booted, expected)
    except (BadConfiguration, EmulatorError) as error:
        problem = "\n".join([str(error), *getattr(error, "__notes__", [])])
    pytest.fail(problem, pytrace=False)  # outside, or pytest would report that other exception, too


class KernelChecks:
    """Checks what one test expects.

    Args:
        kernel: The kernel that the test has.
        booted: The same kernel, as the session keeps it.
        expected: What the test's markers say.

    Raises:
        BadConfiguration: They do not fit this kernel.
    """

    def __init__(self, kernel: Kernel, booted: BootedKernel, expected: Expectations) -> None:
        self._kernel = kernel
        self._booted = booted
        self._expected = expected
        self._mistakes = (
            Mistakes(kernel, booted)
            if booted.settings.check or booted.settings.sanitize or expected.mistakes
            else None
        )
        booted.expected = expected.mistakes
        self._first_event = 1
        self._allocations_before = 0
        for limit in expected.limits:
            self._areas(limit)

    def begin(self) -> None:
        """Count from now on: the fixtures of the test are ready."""
        log = self._booted.log
        if self._mistakes is not None:
            self._mistakes.begin()
        if log is not None:
            self._first_event = log.recording.event_count + 1
            self._allocations_before = self._booted.machine.allocations.count
            if self._expected.fail_nth:
                number = self._allocations_before + self._expected.fail_nth
                self._booted.let_fail(_injector(log, number))

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
        found = [] if self._mistakes is None else self._mistakes.findings()
        yield lines_of(each for each in found if each.kind not in self._expected.mistakes)
        damage = self._damage()
        if Kind.CORRUPTION not in self._expected.mistakes:
            yield _damaged(damage)
        kinds = {each.kind for each in found} | {Kind.CORRUPTION for _ in damage[:1]}
        yield _not_made(self._expected.mistakes - kinds)

    def _damage(self) -> list[str]:
        """Return the damage of the kernel's heap, as far as it is at rest."""
        audits = () if self._kernel.died or self._booted.is_in_call else self._booted.heap_audits
        return [defect_text(defect) for audit in audits for defect in audit.defects()]

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
        peak = peak_of(usage_of(blocks))
        if peak.bytes <= limit.bytes:
            return []
        lines = [f"the test took {peak.bytes} bytes of {area} at its peak, the limit is {limit.bytes} bytes"]
        return [*lines, *self._by_stack(log, {area: blocks.live_after(peak.event)})]

    def _taken(self, log: CallLog, area: str) -> Blocks:
        """Return the blocks that the test itself allocated."""
        blocks = log.blocks(area)
        return blocks.where(blocks.born >= self._first_event)

    def _by_stack(self, log: CallLog, blocks: dict[str, Blocks]) -> list[str]:
        """Return lines about blocks, together for each backtrace; those with most bytes first."""
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
            frames = caller_lines(log.recording.stack(stack), self._booted.machine.image, _FRAMES_SHOWN)
            frames = [each for each in frames if each != FROM_THE_TEST]
            lines += [f"    {frame}" for frame in [*frames, f"{caller} (the test)"]]
        hidden = len(largest) - _STACKS_SHOWN
        return [*lines, f"  ... and {counted(hidden, 'more place')}"] if hidden > 0 else lines

    def _areas(self, limit: Limit) -> tuple[str, ...]:
        log = self._booted.log
        areas = log.profile.block_areas if log is not None else ()
        if limit.area and limit.area not in areas:
            raise BadConfiguration(
                f"@pytest.mark.kmem_limit: no area {limit.area!r}; there are: {', '.join(areas)}"
            )
        return (limit.area,) if limit.area else areas


def _injector(log: CallLog, number: int) -> FaultInjector:
    from emulator.inject.policy import FaultInjector, InjectionPolicy

    return FaultInjector(log.recording, log.profile, InjectionPolicy(nth=number))


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


def _not_made(kinds: Iterable[Kind]) -> list[str]:
    names = sorted(kind.value for kind in kinds)
    return [f"kmem_expect: the kernel did not make this mistake: {', '.join(names)}"] if names else []


def _damaged(defects: list[str]) -> list[str]:
    if not defects:
        return []
    lines = [
        "the kernel's heap is damaged after this test:",
        *(f"  {each}" for each in defects[:_DEFECTS_SHOWN]),
    ]
    hidden = len(defects) - _DEFECTS_SHOWN
    return [*lines, f"  ... and {hidden} more"] if hidden > 0 else lines
