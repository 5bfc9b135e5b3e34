"""Checks of a kernel's own data structures, as they lie in its memory at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from emulator.hle.kernels import BTRON, LITECORE
from emulator.hle.layers import find_btron, find_litecore

if TYPE_CHECKING:
    from emulator.check.findings import Finding, Kind
    from emulator.check.rerun import Rerun
    from emulator.machine.machine import Machine
    from emulator.trace.trace import Trace
    from kernel_model.audit import Defect, Location


class StateChecks(Protocol):
    """What can be checked of one kernel on one machine."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """What is looked for in the kernel's structures."""

    @property
    def quiet(self) -> bool:
        """Whether the kernel is in the middle of no change, so that all rules of its structures hold."""

    def look(self) -> list[Defect]:
        """Return the broken rules of the structures that manage memory; [] while the kernel is not `quiet`."""

    def message(self, defect: Defect) -> str:
        """Return a broken rule as a finding's message."""

    def linear(self, address: int) -> int:
        """Return what the kernel calls a physical address."""

    def locate(self, address: int) -> Location | None:
        """Return what the byte at a physical address is; None: nothing that is known of the kernel."""

    def waiting(self) -> list[str]:
        """Say of each task that waits for something what that is."""

    def at_end(self, trace: Trace, rerun: Rerun | None = None) -> list[Finding]:
        """Compare the structures with what the trace says.

        Args:
            trace: Of the whole run.
            rerun: To find out who broke what. None: findings name no faulting write.
        """


def state_checks(machine: Machine, profile_name: str) -> StateChecks | None:
    """Return the checks for a machine's kernel; None if its structures are not known.

    Args:
        machine: With its layers attached, before or after its run.
        profile_name: Of the profile that is recorded. Another one than the built-in one may call things differently.
    """
    if profile_name == LITECORE.name:
        litecore = find_litecore(machine)
        if litecore is not None:
            from emulator.check.structures.litecore_state import LiteCoreState

            return LiteCoreState(machine, litecore)
    if profile_name == BTRON.name:
        btron = find_btron(machine)
        if btron is not None:
            from emulator.check.structures.btron_state import BtronState

            return BtronState(machine, btron)
    return None
