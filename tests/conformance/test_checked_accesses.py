"""Bad accesses, a table of them on several allocators, as compilers make them: each is found, and none in their twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import pytest

from emulator import boot
from emulator.check.accesses.bad_accesses import bad_accesses
from emulator.check.checked_run import check_kernel
from emulator.check.findings import OF_ACCESSES
from emulator.guest.symbolizer import Symbolizer
from emulator.loader.builtin import DEFECTS, KERNELS
from emulator.machine.execution import Returned
from emulator.profile.known import match, matching_profile
from emulator.profile.reader import parse_profile
from emulator.run.ending import Budget
from emulator.trace.checking import check_accesses
from emulator.trace.logged import LoggedTrace
from emulator.trace.recording import CallLog
from tests.helpers.bad_access_cases import ALLOCATORS, COMPILERS, Case, build, cases_of

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding


_MOST_INSTRUCTIONS: Final = 10_000_000


class Kernel:
    """A kernel with all cases of one allocator, which stands before its first instruction.

    Args:
        path: Its file.
        allocator: The allocator.
        memory: How the machine accesses memory.
    """

    def __init__(self, path: Path, allocator: str, memory: Literal["fast", "ordinary"]) -> None:
        self._machine = boot(str(path), mmu=memory)
        image, text = self._machine.image, ALLOCATORS[allocator].profile
        profile = match(parse_profile(text, "cases.toml"), image) if text else matching_profile(image)
        self._log = CallLog(self._machine, profile)
        self._checked = check_accesses(self._machine, profile)
        self._start = self._machine.snapshot()

    def findings(self, number: int, *, defect: bool) -> list[Finding]:
        """Run a case, or its twin, and return what is found."""
        machine, image = self._machine, self._machine.image
        self._start.reset()
        for name, value in (("which", number), ("defect", int(defect))):
            machine.memory.write(image.physical(image.symbols[name].address), value.to_bytes(4, "little"))
        outcome = machine.run(max_instructions=_MOST_INSTRUCTIONS)
        assert outcome.ending in (Returned.HALTED, Returned.SPINS)
        assert not machine.memory.load_u32(image.physical(image.symbols["failed"].address))
        seen = self._checked.seen()
        assert not seen.missed
        return bad_accesses(machine, seen.accesses, LoggedTrace(self._log, Symbolizer(image)))


def described(found: list[Finding], case: Case) -> list[str]:
    """Return what matters of findings: their kind, and whether they are in the case's function."""
    return [
        each.kind.value
        + (
            ""
            if each.call_site
            and f"wrong_{case.name}" in [frame.function for frame in each.call_site.backtrace]
            else " elsewhere"
        )
        for each in found
    ]


@pytest.mark.parametrize(
    ("compiler", "level", "memory"), [*((*each, "fast") for each in COMPILERS), ("gcc", "-O2", "ordinary")]
)
@pytest.mark.parametrize("allocator", ALLOCATORS)
def test_each_bad_access_is_found_once_and_no_right_one(
    tmp_path: Path, allocator: str, compiler: str, level: str, memory: Literal["fast", "ordinary"]
) -> None:
    kernel = Kernel(build(tmp_path, allocator, compiler, level), allocator, memory)
    kinds = ALLOCATORS[allocator].kinds
    cases = cases_of(allocator)
    expected = {case.name: [kinds.get(case.name, case.kind)] for case in cases}
    found = {case.name: described(kernel.findings(n, defect=True), case) for n, case in enumerate(cases)}
    assert found == expected
    alarms = {case.name: kernel.findings(n, defect=False) for n, case in enumerate(cases)}
    assert {name: [each.message for each in alarm] for name, alarm in alarms.items() if alarm} == {}


BAD: Final = {
    "use_after_free": ["memcpy", "kmain"],
    "overflow": ["memset"],
    "bad_overflow": ["copy_name"],
    "bad_late_write": ["tick"],
}
"""Functions of built-in kernels that access what is in no block."""
LONG: Final = ("stress", "btron_stress", "vm_churn")


@pytest.mark.parametrize(
    "name", [*sorted(set(KERNELS) - set(LONG)), *DEFECTS, *(f"{name}_ok" for name in DEFECTS)]
)
def test_built_in_kernels_access_their_blocks_only(name: str) -> None:
    machine = boot(f"firmware:{name}")
    profile = matching_profile(machine.image)
    report = check_kernel(machine, profile, Budget(max_instructions=3_000_000), sanitize=True)
    found = [
        each.call_site.function for each in report.findings if each.kind in OF_ACCESSES and each.call_site
    ]
    assert found == BAD.get(name, [])
