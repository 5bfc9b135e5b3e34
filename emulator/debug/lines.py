"""Move by lines of the source and by calls, in both directions.

A line is stepped over as debuggers do that: until another line begins, in the same function or in one that is called. Code that belongs to no line, and the handlers
of interrupts and exceptions that come in between, are run through as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.debug.stop import StopKind
from emulator.loader.functions.prologue import body_of
from emulator.machine.call_stack import callers
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.stop import Stop
    from emulator.loader.dwarf.source_lines import SourceLine
    from emulator.machine.core.stops import Executed

_FRAME: Final = 3 * WORD_SIZE  # what an interrupt pushes in the same ring: EIP, CS, EFLAGS
_STACK_OF_LINE: Final = 1 << 12  # bytes; further up it is another stack
_ARGUMENTS_MAX: Final = (
    256  # bytes with the return address; where a function's results are larger, callers pass their address
)
_LONGEST_CALL: Final = 15  # bytes
_FIRST_WINDOW: Final = 1 << 10
_LAST_WINDOW: Final = 1 << 16  # instructions
_PREFIXES: Final = b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3"
_RETS: Final = b"\xc2\xc3\xca\xcb"
_IRET: Final = 0xCF
_CALLS: Final = b"\xe8\x9a"
_INDIRECT: Final = 0xFF, (2, 3)  # an opcode, and which values of the middle field of the next byte are calls


def has_returned(esp: int, slot: int) -> bool:
    """Return whether ESP is what a call leaves that has returned, perhaps with its arguments taken off: another task's is not.

    Args:
        esp: After the call.
        slot: Where its return address was.
    """
    return slot < esp <= slot + _ARGUMENTS_MAX


class Lines:
    """The moves of one debugger.

    Args:
        debugger: Moves.
    """

    def __init__(self, debugger: Debugger) -> None:
        self._debugger = debugger
        self._machine = debugger.machine
        self._image = debugger.machine.image
        self._begun: dict[int, SourceLine | None] = {}

    # -- forwards ------------------------------------------------------------------------------------

    def step(self, *, into: bool) -> Stop:
        """Go on to where another line begins.

        Args:
            into: Whether that may be in a function that is called.

        Raises:
            ValueError: The kernel's file has no lines.
        """
        self._check_lines()
        begun = self._line(self._machine.registers().eip)
        while True:
            stop = self._instruction(into=into)
            if stop.kind is not StopKind.STEP:
                return stop
            if self._begun_by(self._machine.registers().eip) not in (None, begun):
                return stop

    def _check_lines(self) -> None:
        if not self._image.has_source_lines:
            raise ValueError(
                "the kernel's file has no source lines: it can be stepped through by instructions"
            )

    def finish(self) -> Stop:
        """Go on to where the present function has returned to.

        Raises:
            ValueError: Who called it is not known.
        """
        back_at, slot = self._return()
        return self._run_to(back_at, lambda esp: has_returned(esp, slot))

    def _instruction(self, *, into: bool) -> Stop:
        """Execute an instruction, with handlers that come in between, and functions that are not gone into."""
        machine = self._machine
        before = machine.registers()
        stop = self._debugger.step()
        if stop.kind is not StopKind.STEP:
            return stop
        now = machine.registers()
        if machine.stops.at_handler:
            return self._leave_handler()
        if not self._has_called(before.pc, before.esp, now.esp, now.pc):
            return stop
        if into and self._has_lines(now.eip):
            return stop
        return self._run_to(self._word(now.on_stack(now.esp)), lambda esp: has_returned(esp, now.esp))

    def _leave_handler(self) -> Stop:
        machine = self._machine
        registers = machine.registers()
        fault = machine.fault_in_hand()
        is_fault = fault is not None and machine.stops.newest_faults()[0] == machine.stops.now
        at = fault.frame if fault is not None and is_fault else registers.esp
        eip = self._word(registers.on_stack(at))
        ends = {at + _FRAME, self._word(registers.on_stack(at + _FRAME))}
        return self._run_to(eip, lambda esp: esp in ends)

    def _run_to(self, address: int, is_there: Callable[[int], bool]) -> Stop:
        """Go on to an instruction, where ESP is as it is to be."""
        linear = (self._machine.registers().cs_base + address) & WORD_MAX
        return self._debugger.run_to(linear, lambda d: is_there(d.machine.registers().esp))

    def _return(self) -> tuple[int, int]:
        """Return where the present function returns to, and where that lies in the stack segment."""
        known = callers(self._machine)
        if not known.slots or not known.return_addresses[0]:
            raise ValueError("who called the function at EIP is not known")
        return known.return_addresses[0], known.slots[0]

    # -- backwards -----------------------------------------------------------------------------------

    def step_back(self, *, into: bool) -> Stop:
        """Go back to where the line before begins; from the middle of a line, to where that begins.

        Args:
            into: Whether it may lie in a function that was called.

        Raises:
            ValueError: It is not among what was executed last, and no call is known that took so long; or the kernel's file has no lines.
        """
        self._check_lines()
        here = self._debugger.moment
        window = _FIRST_WINDOW
        while True:
            executed = self._debugger.executed_before(window)
            found, is_begin = self._line_before(executed, into=into)
            if is_begin or len(executed) < window or (window >= _LAST_WINDOW and found is not None):
                return self._debugger.stands(None if found is None else executed[found].instant)
            if window >= _LAST_WINDOW:
                break
            window *= 8
        stop = self._back_to_long_call(executed, into=into)
        if stop is None:
            self._debugger.go_to(here)
            raise ValueError(
                f"where the line before begins is not known: not in the last {len(executed)} instructions"
            )
        at_begin = self._image.begins_line(self._machine.registers().eip)
        return stop if stop.kind is not StopKind.STEP or at_begin else self.step_back(into=False)

    def _back_to_long_call(self, executed: Sequence[Executed], *, into: bool) -> Stop | None:
        """Go back to the newest call that has returned, and is older than all that is known; None: there is none, or its function is not known."""
        ret = self._unmatched(executed, into=into)
        base = self._machine.registers().cs_base
        function = None if ret is None else self._image.function_at(ret.pc - base & WORD_MAX)
        if ret is None or function is None:
            return None
        begins, slot = ret.pc - function[1] & WORD_MAX, ret.esp
        with self._debugger.only():
            stop = self._debugger.run_back_to(begins, lambda d: d.machine.registers().esp == slot)
        registers = self._machine.registers()
        if stop.kind is StopKind.CANCELLED:
            return stop
        return self._debugger.step_back() if (registers.pc, registers.esp) == (begins, slot) else None

    def _unmatched(self, executed: Sequence[Executed], *, into: bool) -> Executed | None:
        """Return the newest instruction that has returned from a call which is not among these; None: there is none."""
        at = len(executed) - 1
        while at >= 0:
            code = self._code(executed[at].pc)
            if code and code[0] == _IRET:
                at = self._begin_of_handler(executed, at)
            elif self._is_passed_over(executed[at].pc, code, into=into):
                call = self._call(executed, at)
                if call < 0:
                    return executed[at]
                at = call
            else:
                at -= 1
        return None

    def finish_back(self) -> Stop:
        """Go back to the call of the present function.

        Raises:
            ValueError: Who called it, or where it begins, is not known.
        """
        _, slot = self._return()
        registers = self._machine.registers()
        function = self._image.function_at(registers.eip)
        if function is None:
            raise ValueError("where the function at EIP begins is not known")
        begins = (registers.eip - function[1] + registers.cs_base) & WORD_MAX
        if registers.pc != begins or registers.esp != slot:
            stop = self._debugger.run_back_to(begins, lambda d: d.machine.registers().esp == slot)
            registers = self._machine.registers()
            if registers.pc != begins or registers.esp != slot:
                return stop
        return self._debugger.step_back()

    def _line_before(self, executed: Sequence[Executed], *, into: bool) -> tuple[int | None, bool]:
        """Return where the line that was executed last begins, None: before all of these; and whether that is sure, because another line comes before it."""
        found: int | None = None
        line, esp = None, 0
        at = self._skip_back(executed, len(executed) - 1, into=into)
        while at is not None:
            begins = self._begun_by(executed[at].pc)
            is_other = begins is not None and begins != line
            if found is not None and (is_other or executed[at].esp > esp + _STACK_OF_LINE):
                return found, True
            if begins is not None:
                found, line, esp = at, begins, executed[at].esp
            at = self._skip_back(executed, at - 1, into=into)
        return found, False

    def _is_passed_over(self, pc: int, code: bytes, *, into: bool) -> bool:
        """Return whether an instruction is the return from a function that is not gone into."""
        return bool(code) and code[0] in _RETS and not (into and self._line(pc) is not None)

    def _skip_back(self, executed: Sequence[Executed], at: int, *, into: bool) -> int | None:
        """Return the instruction at *at*, or, if that returns from what is not gone into, the one before; None: before all of these."""
        while at >= 0:
            code = self._code(executed[at].pc)
            if code and code[0] == _IRET:
                at = self._begin_of_handler(executed, at)
            elif self._is_passed_over(executed[at].pc, code, into=into):
                at = self._call(executed, at)
            else:
                return at
        return None

    def _begin_of_handler(self, executed: Sequence[Executed], iret: int) -> int:
        """Return the instruction before a handler that has been left, -1: not one of these."""
        frame = executed[iret].esp
        at = iret
        while at >= 0 and not (executed[at].is_handler and executed[at].esp in (frame, frame - WORD_SIZE)):
            at -= 1
        return at - 1

    def _call(self, executed: Sequence[Executed], ret: int) -> int:
        """Return the call that an instruction has returned from, -1: not one of these."""
        slot = executed[ret].esp
        at = ret - 1
        while at >= 0 and not (
            executed[at].esp == slot + WORD_SIZE
            and executed[at + 1].esp == slot
            and self._calls(executed[at].pc)
        ):
            at -= 1
        return at

    # -- code ----------------------------------------------------------------------------------------

    def _line(self, address: int) -> SourceLine | None:
        line = self._image.source_line(address)
        return line if line is not None and line.line else None

    def _begun_by(self, address: int) -> SourceLine | None:
        """Return the line that begins with an instruction; None: none does. What opens a function begins after the prologue."""
        if address not in self._begun:
            line = self._line(address) if self._image.begins_line(address) else None
            function = None if line is None else self._image.function_at(address)
            if function is not None and not function[1] and body_of(self._image, address) != address:
                line = None
            self._begun[address] = line
        return self._begun[address]

    def _has_lines(self, address: int) -> bool:
        return self._line(address) is not None

    def _code(self, pc: int) -> bytes:
        """Return an instruction without its prefixes, and what comes after it."""
        return self._machine.read_linear(pc, _LONGEST_CALL).lstrip(_PREFIXES)

    def _calls(self, pc: int) -> bool:
        code = self._code(pc)
        indirect, kinds = _INDIRECT
        return bool(code) and (code[0] in _CALLS or (code[0] == indirect and code[1] >> 3 & 7 in kinds))

    def _has_called(self, pc: int, esp: int, esp_now: int, pc_now: int) -> bool:
        """Return whether an instruction has called what comes next."""
        return self._calls(pc) and esp - esp_now in (WORD_SIZE, 2 * WORD_SIZE) and pc_now != pc

    def _word(self, linear: int) -> int:
        return int.from_bytes(self._machine.read_linear(linear, WORD_SIZE), "little")
