"""The mistakes of a part of a run: of all calls since the kernel was started, those from an event on are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.check.calls.checks import check_calls
from emulator.check.calls.results import known_memory
from emulator.check.structures.kernel_checks import kernel_checks
from emulator.trace.queries.distinct import sorted_set

if TYPE_CHECKING:
    from emulator.check.findings import Finding
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace


def keeps_mappings(machine: Machine, profile_name: str) -> bool:
    """Return whether a kernel has page tables that are known, and may hand out linear addresses before paging is on.

    Args:
        machine: Any time.
        profile_name: Of the profile that is recorded.
    """
    checks = kernel_checks(machine, profile_name)
    return checks is not None and checks.has_mappings


def later_mistakes(machine: Machine, trace: Trace, event: int, *, has_mappings: bool) -> list[Finding]:
    """Return the mistakes of callers and allocators from an event on, in order.

    Only the areas that were used since are looked at, so that little is done where little has happened.

    Args:
        machine: The machine, after the calls.
        trace: All calls since the kernel was started.
        event: Number of the first event that counts.
        has_mappings: What `keeps_mappings` says of the kernel.
    """
    recent = trace.calls.function[trace.calls.entered >= event]
    used = {trace.functions[code].area for code in sorted_set(recent).tolist()}
    areas = [area for area in trace.areas if area in used]
    memory = known_memory(machine, has_mappings=has_mappings)
    found = check_calls(trace, memory, areas) if areas else []
    return [each for each in found if each.call_site and each.call_site.event >= event]
