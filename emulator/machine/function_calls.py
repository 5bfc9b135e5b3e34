"""Call functions of the guest from Python."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from emulator.errors import GuestStopped
from emulator.machine.address_map import KERNEL_BASES, RETURN_TO
from emulator.machine.execution import Returned
from emulator.wording import code_location
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.core_types import Registers
    from emulator.machine.execution import Execution, Outcome
    from emulator.machine.faults.diagnosis import Diagnosis
    from emulator.machine.machine import Machine

_DID = {
    Returned.EXIT: "exited",
    Returned.RESET: "reset the PC",
    Returned.OFF: "switched the power off",
    Returned.HALTED: "halted",
    Returned.SPINS: "halted in an endless loop",
    Returned.ASKED: "was stopped",
    Returned.BAD_ACCESS: "was stopped before a bad access",
}


class FunctionCalls:
    """Calls functions of one machine's guest; see `Machine.call`.

    Args:
        machine: It.
        execution: Runs it.
        diagnosis: Explains what goes wrong.
    """

    def __init__(self, machine: Machine, execution: Execution, diagnosis: Diagnosis) -> None:
        self._machine = machine
        self._execution = execution
        self._diagnosis = diagnosis

    def call(
        self,
        function: str | int,
        arguments: Sequence[int],
        max_instructions: int | None,
        timeout_s: float | None,
    ) -> int:
        """Call a function; see `Machine.call`.

        Args:
            function: Its symbol or address.
            arguments: 32-bit words.
            max_instructions: Budget.
            timeout_s: Budget in seconds of the host.
        """
        machine = self._machine
        machine.check_rests("call()")
        address = machine.address_of(function)
        if max_instructions is None and timeout_s is None:
            end = machine.cpu.enter_call(address, [word & WORD_MAX for word in arguments], RETURN_TO)
            if end is not None:
                self._check(function, end, self._execution.run_call(end))
                return machine.cpu.leave_call()
        before = machine.registers()
        return_to = _enter(machine, before, address, arguments)
        with machine.unanswered.refused():
            outcome = machine.run(max_instructions=max_instructions, timeout_s=timeout_s)
        self._check(function, return_to, outcome)
        eax = machine.registers().eax
        machine.cpu.set_registers(before)
        return eax

    def _check(self, function: str | int, return_to: int, outcome: Outcome | None) -> None:
        """Raise an error for a call that ended otherwise than in the `hlt` at *return_to*; None: it ended there."""
        if outcome is not None and outcome.eip != return_to + 1:
            raise self._diagnosis.in_call(_not_returned(self._machine, function, outcome))


def _enter(machine: Machine, before: Registers, address: int, arguments: Sequence[int]) -> int:
    """Let the machine stand at a function's first instruction, as if it had been called. Return where it returns to.

    Args:
        machine: Whose guest.
        before: Its registers.
        address: Of the function.
        arguments: 32-bit words, signed or unsigned, pushed as cdecl has it.

    Raises:
        GuestStopped: The stack is not mapped, or nothing of low memory is.
    """
    return_to = _return_address(machine, before)
    words = [return_to, *(word & WORD_MAX for word in arguments)]
    esp = before.esp - 4 * len(words) & WORD_MAX
    machine.write_linear(before.on_stack(esp), struct.pack(f"<{len(words)}I", *words))
    machine.cpu.set_registers(before._replace(esp=esp, eip=address))
    return return_to


def _not_returned(machine: Machine, function: str | int, outcome: Outcome) -> GuestStopped:
    """Return the error for a call that ended otherwise."""
    location = code_location(*machine.image.location(outcome.eip))
    text = f"{function} did not return: the kernel {_DID[outcome.ending]}"
    return GuestStopped(text, outcome.eip, location)


def _return_address(machine: Machine, registers: Registers) -> int:
    """Return where the page with the `hlt` that ends a call is mapped: as it is, or where kernels map physical memory."""
    for base in KERNEL_BASES:
        if machine.translate(registers.cs_base + (base | RETURN_TO) & WORD_MAX) == RETURN_TO:
            return base | RETURN_TO
    eip = registers.eip
    raise GuestStopped(
        "no call is possible: low memory is not mapped", eip, code_location(*machine.image.location(eip))
    )
