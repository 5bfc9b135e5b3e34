"""The registers of each frame of a stack, as far as they are known: those that a function keeps for its caller lead outwards.

Call frame information says where a function has put them. Of a function without, only EBP is known, and only where its frame begins with it.
EAX, ECX and EDX are not kept for callers. Nothing is carried through an interrupt but ESP: what handlers in assembly do is described nowhere.

Source: DWARF 5, section 6.4; System V ABI for i386, 2.2.1 (registers that belong to the caller).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.call_frames import EBP, EBX, EDI, ESI, ESP
from emulator.machine.call_stack import callers, callers_of_parked
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from emulator.loader.dwarf.call_frames import Rules
    from emulator.machine.core.core_types import Registers
    from emulator.machine.machine import Machine

REGISTERS: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")
"""Names of registers by their numbers in DWARF: System V ABI for i386, figure 2.14."""

_IN_EIP: Final = 3 * WORD_SIZE  # what an interrupt has pushed in the same ring: EIP, CS, EFLAGS
_RING: Final = 3


class FrameRegisters(NamedTuple):
    """A function on the stack, not an inlined one, and what is in its registers.

    Attributes:
        address: Of the instruction at which the machine stands, in the code segment; of a caller, of the last byte of its call.
        known: Values of registers by their DWARF numbers; of a caller, as they are after the call. Those that are not known are left out.
        frame_address: The CFA, an offset in the stack segment; None: not known.
        return_address: Where its caller goes on; None: not known, or it was interrupted code that called it.
    """

    address: int
    known: Mapping[int, int]
    frame_address: int | None
    return_address: int | None


def frame_registers(machine: Machine) -> tuple[FrameRegisters, ...]:
    """Return the frames of a machine that stands still, innermost first: as many as it has levels that are known."""
    registers = machine.registers()
    stack = callers(machine)
    known = dict(enumerate(registers[: len(REGISTERS)]))
    return _frames(machine, registers.eip, known, zip(stack.return_addresses, stack.slots, strict=False))


def parked_frame_registers(machine: Machine, saved: Mapping[str, int]) -> tuple[FrameRegisters, ...]:
    """Return the frames of a task that does not run, innermost first, as `emulator.guest.backtrace.parked_backtrace` has their levels.

    Args:
        machine: Does not run.
        saved: Registers with which the task goes on; those that are not there are not known in any frame.
    """
    known = {REGISTERS.index(name): value for name, value in saved.items() if name in REGISTERS}
    stack = None
    if {"eip", "esp", "ebp"} <= saved.keys():
        stack = callers_of_parked(machine, saved["eip"], saved["esp"], saved["ebp"])
    if stack is None:
        return ()
    calls = list(zip(stack.return_addresses, stack.slots, strict=False))
    return _frames(machine, saved["eip"] - 1, known, calls[1:])


def _frames(
    machine: Machine, address: int, known: dict[int, int], calls: Iterable[tuple[int, int]]
) -> tuple[FrameRegisters, ...]:
    """Return some frames.

    Args:
        machine: Does not run.
        address: Of the innermost one.
        known: Its registers.
        calls: Around it: return addresses, and where they lie.
    """
    registers = machine.registers()
    frames: list[FrameRegisters] = []
    for return_address, slot in calls:
        if not return_address:
            break
        interrupted = _word(machine, registers, slot) != return_address
        rules = machine.image.frame_rules.at(machine.image.linked(address))
        cfa = _frame_address(rules, known) if interrupted else slot + WORD_SIZE
        _complete(known, rules, cfa)
        frames.append(FrameRegisters(address, known, cfa, None if interrupted else return_address))
        known = (
            _without_gaps({ESP: _interrupted_esp(machine, registers, slot)})
            if interrupted
            else _callers_registers(machine, registers, rules, known, slot + WORD_SIZE)
        )
        address = return_address - 1
    if frames and not address:
        return tuple(frames)
    rules = machine.image.frame_rules.at(machine.image.linked(address))
    cfa = _frame_address(rules, known)
    return (*frames, FrameRegisters(address, known, cfa, None))


def innermost_frame(machine: Machine) -> FrameRegisters:
    """Return the frame at EIP alone, without unwinding the stack: its return address is not known then, and its CFA where the file says it."""
    registers = machine.registers()
    known = dict(enumerate(registers[: len(REGISTERS)]))
    rules = machine.image.frame_rules.at(machine.image.linked(registers.eip))
    return FrameRegisters(registers.eip, known, _frame_address(rules, known), None)


def _frame_address(rules: Rules | None, known: Mapping[int, int]) -> int | None:
    if rules is None or rules.register not in known:
        return None
    return known[rules.register] + rules.offset & WORD_MAX


def _complete(known: dict[int, int], rules: Rules | None, cfa: int | None) -> None:
    """Add the register that the CFA is counted from, where only the CFA is known."""
    if rules is not None and cfa is not None:
        known.setdefault(rules.register, cfa - rules.offset & WORD_MAX)


def _callers_registers(
    machine: Machine, registers: Registers, rules: Rules | None, known: Mapping[int, int], cfa: int
) -> dict[int, int]:
    found: dict[int, int | None] = {ESP: cfa}
    if rules is None or _frame_address(rules, known) != cfa:
        if known.get(EBP) == cfa - 2 * WORD_SIZE:  # its frame begins with the caller's EBP
            found[EBP] = _word(machine, registers, known[EBP])
        return _without_gaps(found)
    for number, saved_at in ((EBX, rules.ebx), (EBP, rules.ebp), (ESI, rules.esi), (EDI, rules.edi)):
        if saved_at:
            found[number] = _word(machine, registers, cfa + saved_at & WORD_MAX)
        elif saved_at == 0 and number in known:
            found[number] = known[number]
    return _without_gaps(found)


def _without_gaps(found: Mapping[int, int | None]) -> dict[int, int]:
    return {number: value for number, value in found.items() if value is not None}


def _interrupted_esp(machine: Machine, registers: Registers, slot: int) -> int | None:
    selector = _word(machine, registers, slot + WORD_SIZE)
    if selector is None:
        return None
    is_outer = selector & _RING != registers.cs & _RING
    return _word(machine, registers, slot + _IN_EIP) if is_outer else slot + _IN_EIP


def _word(machine: Machine, registers: Registers, offset: int) -> int | None:
    """Return the word at an offset in the stack segment; None: nothing is mapped there."""
    data = machine.read_linear(registers.on_stack(offset), WORD_SIZE)
    return int.from_bytes(data, "little") if len(data) == WORD_SIZE else None
