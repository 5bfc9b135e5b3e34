"""Runs the cases of kernels that case_kernels.py has built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from emulator import boot
from emulator.check.accesses.bad_accesses import bad_accesses
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.execution import Returned
from emulator.profile.known import match, matching_profile
from emulator.profile.reader import parse_profile
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog
from tests.helpers.case_kernels import ALLOCATORS, Case

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from emulator.check.findings import Finding

_MOST_INSTRUCTIONS: Final = 10_000_000
_Memory = Literal["fast", "ordinary"]


class Kernel:
    """A kernel with all cases of one allocator, which stands before its first instruction.

    Args:
        path: Its file.
        allocator: The allocator.
        memory: How the machine accesses memory.
        uninitialised: Uses of what was never written are looked for, too.
    """

    def __init__(self, path: Path, allocator: str, memory: _Memory, *, uninitialised: bool = False) -> None:
        self._machine = boot(str(path), mmu=memory)
        image, text = self._machine.image, ALLOCATORS[allocator].profile
        profile = match(parse_profile(text, "cases.toml"), image) if text else matching_profile(image)
        self._log = CallLog(self._machine, profile)
        self._checked = check_accesses(self._machine, profile, uninitialised=uninitialised)
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
        return bad_accesses(machine, seen.accesses, self._log.trace(Symbolizer(image)))


def memories(compiler: str, level: str) -> tuple[_Memory, ...]:
    """Return those on which a compiler's kernels are run: of one, all."""
    return ("fast", "ordinary") if (compiler, level) == ("gcc", "-O2") else ("fast",)


def check(kernel: Kernel, cases: Sequence[Case], kinds: Mapping[str, str]) -> dict[str, list[Finding]]:
    """Hold that each case of a kernel is found once, and nothing in its twin, and return what is found.

    Args:
        kernel: The kernel.
        cases: Its cases, in order.
        kinds: The kinds that the findings have, where those are not the cases' own.
    """
    found = {case.name: kernel.findings(n, defect=True) for n, case in enumerate(cases)}
    expected = {case.name: [kinds.get(case.name, case.kind)] for case in cases}
    assert {case.name: _described(found[case.name], case) for case in cases} == expected
    alarms = {case.name: kernel.findings(n, defect=False) for n, case in enumerate(cases)}
    assert {name: [each.message for each in alarm] for name, alarm in alarms.items() if alarm} == {}
    return found


def _described(found: list[Finding], case: Case) -> list[str]:
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
