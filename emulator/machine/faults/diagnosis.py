"""What a stop of the CPU means: how much was executed, what was accessed, and the error that a bad end becomes.

Most runs end well, so what only errors and faults need is imported in functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import BudgetUsedUp, EmulatorError, GuestStopped, HostError, NotEmulated
from emulator.machine.address_map import MIB, ROM_START
from emulator.machine.core.core_types import Reason
from emulator.wording import code_location
from emulator.x86 import LONGEST_INSTRUCTION, PAGE_SIZE, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.loader.image import KernelImage
    from emulator.machine.core.core_types import Stop
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.linear_memory import LinearMemory


class Diagnosis:
    """Explains stops of one machine's CPU.

    Args:
        image: The kernel, to name locations.
        cpu: Where it stands.
        memory: What the guest sees.
        open_call: Returns what has to be said of a call that the guest is in; empty if there is nothing.
    """

    def __init__(
        self, image: KernelImage, cpu: Cpu, memory: LinearMemory, open_call: Callable[[], str]
    ) -> None:
        self._image = image
        self._cpu = cpu
        self._memory = memory
        self._open_call = open_call

    def count_exactly(self, stop: Stop) -> Stop:
        """Count of a block that failed in the middle only what was executed."""
        if not stop.block_instructions:
            return stop
        if stop.reason not in (Reason.UNMAPPED, Reason.EVENT):
            return stop
        last = stop.address if stop.reason is Reason.EVENT else stop.pc
        if not stop.block <= last < stop.block + stop.block_size:
            return stop
        from emulator.machine.code.instructions import instructions_before  # most runs never need it

        code = self._memory.read(stop.block, stop.block_size)
        done = instructions_before(code, last - stop.block, stop.block_instructions)
        return stop._replace(instructions=stop.instructions - stop.block_instructions + done)

    def accessed(self, stop: Stop) -> int:
        """Return what a failed access touched, as exactly as the instruction allows."""
        if stop.reason is not Reason.UNMAPPED:
            return stop.address
        from emulator.machine.code.instructions import exact_address

        code = self._memory.read(stop.pc, LONGEST_INSTRUCTION)
        exact = exact_address(code, self._cpu.registers(), stop.linear, stop.access)
        return stop.address | exact & (PAGE_SIZE - 1)

    def error(self, stop: Stop) -> EmulatorError:
        """Return the error for a run that ended badly."""
        from emulator.machine.faults.words import guest_stopped

        location = code_location(*self._image.location(stop.eip))
        if stop.reason is Reason.NO_MEMORY:
            return HostError("the host has no memory left for what is recorded of the run")
        if stop.reason is Reason.FAILED and ROM_START <= (self._cpu.translate(stop.pc) or 0) < MIB:
            problem = "kmemu does not have code of a BIOS: a jump into its ROM"
            return self.in_call(NotEmulated(problem, stop.eip, location, stop.instructions))
        return self.in_call(guest_stopped(stop, location, self.accessed(stop)))

    def undelivered(self, stop: Stop) -> GuestStopped:
        """Return the error for an interrupt that found no way to a handler."""
        from emulator.machine.faults.words import undelivered

        location = code_location(*self._image.location(stop.eip))
        failed = self._cpu.undelivered()
        needed = self._needed(stop) if failed[0].vector == Vector.INVALID_OPCODE else ""
        if needed:
            problem = f"kmemu does not have {needed}"
            return self.in_call(NotEmulated(problem, stop.eip, location, stop.instructions))
        return self.in_call(undelivered(stop, location, failed, self._cpu.registers(), self._memory))

    def _needed(self, stop: Stop) -> str:
        """Return what an undefined instruction of the kernel's code needs of a CPU; "": nothing that is known."""
        if not self._image.code(stop.eip, 1):
            return ""  # a jump to anywhere
        from emulator.machine.code.features import feature_of

        return feature_of(self._memory.read(stop.pc, LONGEST_INSTRUCTION), self._cpu.registers())

    def undefined_instruction(self) -> tuple[str, int]:
        """Return what the instruction needs of a CPU for which a handler was entered last, and its EIP; "": nothing that is known."""
        fault = self._cpu.last_fault()
        if fault is None or fault.vector != Vector.INVALID_OPCODE:
            return "", 0
        from emulator.machine.code.features import feature_of

        return feature_of(self._image.code(fault.eip, LONGEST_INSTRUCTION), self._cpu.registers()), fault.eip

    def no_budget(self) -> BudgetUsedUp:
        """Return the error for a run that may not execute anything."""
        eip = self._cpu.registers().eip
        return BudgetUsedUp(
            "budget of 0 instructions used up", eip, code_location(*self._image.location(eip))
        )

    def in_call(self, error: GuestStopped) -> GuestStopped:
        """Let an error say what call of the layers the guest is in, if that matters."""
        remark = self._open_call()
        if remark:
            error.add_remark(remark)
        return error
