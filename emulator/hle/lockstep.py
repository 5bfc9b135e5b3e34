"""Mode `lockstep`: the native code runs, and the model runs beside it on an overlay.

At a function's entry the model makes the same call on a copy-on-write view of guest RAM. While the native code runs,
the core notes each page that it writes, with the page's bytes from before. At the function's exit the two must agree
on the result, on every byte of memory and on what was printed, and the native code must have kept what every function
has to keep: EBX, ESI, EDI, EBP, ESP, and the flags IF and DF. The part of the stack that the native code used for itself
is left out: a model has no stack. So are bits that the CPU itself sets in page tables.

A call that does not come back through its `ret` is given up, and counted: nothing can be said of it.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import EmulatorError, HostError, ModelStopped, UnsupportedFunction
from emulator.hle.binding import call_text, caller_of, stack_words
from emulator.hle.differences import Difference, memory_differences
from emulator.hle.layers import LockstepCalls
from emulator.hle.model import MODEL_ERRORS
from emulator.machine.address_map import MIB, ROM_START
from emulator.machine.code.exits import find_own_exits
from emulator.machine.consoles import Console
from emulator.machine.core.core_types import ProbeKind
from emulator.machine.memory import OutsideMemory, PhysicalMemory
from emulator.x86 import WORD_MAX, WORD_SIZE, Eflags
from kernel_model.memory import Overlay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from emulator.hle.binding import Bound
    from emulator.loader.elf.symbols import Symbol
    from emulator.machine.core.core_types import Registers, Written
    from emulator.machine.core.observers import WrittenPages
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function

_STACK_GUESS = 2048
_SHOWN = 16
_POPPED_MAX = 16  # words that a wrong function takes from its caller's stack
_KEPT = ("ebx", "esi", "edi", "ebp")
_FLAGS = {"IF": Eflags.IF, "DF": Eflags.DF}
_RET_N = 0xC2


class Divergence(EmulatorError):
    """Native code and model disagree after a call. The text is a report of several lines.

    Attributes:
        call: The call with its arguments.
        location: Where it came from, for people: the first place outside of the kernel's memory management.
        number: The how manieth call in lockstep it was, from 1.
        differences: All of them, at least one.
    """

    def __init__(self, call: str, location: str, number: int, differences: tuple[Difference, ...]) -> None:
        self.call = call
        self.location = location
        self.number = number
        self.differences = differences
        lines = [f"lockstep divergence in {call}, called from {location}, call {number} in lockstep"]
        lines += [f"  {each}" for each in differences[:_SHOWN]]
        if len(differences) > _SHOWN:
            lines.append(f"  and {len(differences) - _SHOWN} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True)
class _OpenCall:
    """A call between its entry and its exit."""

    function: Function
    number: int
    written: WrittenPages
    esp: int
    arguments: tuple[int, ...]
    registers: Registers
    stack: range  # physical
    result: int
    changes: dict[int, int]
    console: str
    console_size: int


class LockstepState(NamedTuple):
    """What belongs to the state of the machine: how far the calls are."""

    entered: int = 0
    calls: LockstepCalls = LockstepCalls()
    open: tuple[_OpenCall, ...] = ()


class WatchedMemory(PhysicalMemory):
    """Guest RAM for models that replace functions inside of calls in lockstep: their writes count as the native code's.

    Args:
        machine: Whose guest; it notes the pages that are written.
    """

    __slots__ = ("_note",)

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.memory.buffer)
        self._note = machine.observers.count_write

    def store_u8(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u8`."""
        self._note(address, 1)
        super().store_u8(address, value)

    def store_u32(self, address: int, value: int) -> None:
        """See `PhysicalMemory.store_u32`."""
        self._note(address, 4)
        super().store_u32(address, value)

    def store_words(self, address: int, values: Sequence[int]) -> None:
        """See `PhysicalMemory.store_words`."""
        self._note(address, 4 * len(values))
        super().store_words(address, values)

    def write(self, address: int, data: bytes) -> None:
        """See `PhysicalMemory.write`."""
        self._note(address, len(data))
        super().write(address, data)


class _InStack(IndexError):
    """A model touches the stack of the call, which it does not have: the guest's structures lie in there.

    Attributes:
        address: Physical.
    """

    def __init__(self, address: int) -> None:
        super().__init__(f"0x{address:08x} is on the stack: no structure of the kernel's can lie there")
        self.address = address


class _OwnMemory(Overlay):
    """Guest RAM for a model in lockstep, as the native code would find it, but for what is on the stack.

    Args:
        base: Guest RAM.
    """

    __slots__ = ("stack",)

    def __init__(self, base: PhysicalMemory) -> None:
        super().__init__(base)
        self.stack = range(0)  # physical; what the native code has for itself

    def _check(self, address: int, size: int) -> None:
        if address < self.stack.stop and address + size > self.stack.start:
            raise _InStack(address)

    def load_u8(self, address: int) -> int:
        """See `Overlay.load_u8`."""
        self._check(address, 1)
        return super().load_u8(address)

    def load_u32(self, address: int) -> int:
        """See `Overlay.load_u32`."""
        self._check(address, 4)
        return super().load_u32(address)

    def load_words(self, address: int, count: int) -> tuple[int, ...]:
        """See `Overlay.load_words`."""
        self._check(address, 4 * count)
        return super().load_words(address, count)

    def read(self, address: int, size: int) -> bytes:
        """See `Overlay.read`. A `view` is not checked: it goes over bodies of blocks, and they may hold stacks."""
        self._check(address, size)
        return super().read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """See `Overlay.write`."""
        self._check(address, len(data))
        if address < MIB and address + len(data) > ROM_START:
            raise OutsideMemory(address, len(data))  # ROM: the native code's write has no effect
        super().write(address, data)


class WatchedFunction:
    """A function of the guest whose calls are compared with the model's, or not: it can be switched.

    Args:
        lockstep: Does that.
        function: Of the model.
        exits: Addresses of its `ret` instructions.
    """

    def __init__(self, lockstep: Lockstep, function: Function, exits: Iterable[int]) -> None:
        machine = lockstep.bound.machine
        entry = lockstep.bound.symbol(function.name).address
        self._probes = [machine.observers.probe(entry, _enterer(lockstep, function))]
        for address in exits:
            code = machine.image.code(address, 3)
            popped = int.from_bytes(code[1:], "little") if code[0] == _RET_N else 0
            leave = _leaver(lockstep, function, popped)
            self._probes.append(machine.observers.probe(address, leave, kind=ProbeKind.EXIT))

    def switch(self, on: bool) -> None:  # noqa: FBT001 - a switch
        """Compare its calls from now on, or not."""
        for probe in self._probes:
            probe.switch(on)


class Lockstep:
    """Runs models beside the guest's own functions.

    Args:
        bound: The machine and its kernel.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self._machine = bound.machine
        self._overlay = _OwnMemory(bound.machine.memory)
        self._printed: list[str] = []
        self._model = bound.models(self._overlay, self._printed.append)
        self._native = bound.models(bound.machine.memory, self._printed.append)  # only to name places
        self._open: list[_OpenCall] = []
        self._stacks = _objects(bound.machine.image.symbols.values())
        self._exits: dict[str, list[int]] = {}
        self._entered = 0
        self._compared = 0
        self._given_up = 0

    @property
    def calls(self) -> LockstepCalls:
        """How many calls there were so far."""
        self._notice_closed()
        return LockstepCalls(self._compared, self._given_up)

    def exits(self, name: str) -> list[int]:
        """Where a function ends.

        Raises:
            UnsupportedFunction: That cannot be found.
        """
        if name not in self._exits:
            self._exits[name] = find_own_exits(self._machine.image, self.bound.symbol(name))
        return self._exits[name]

    def watch(self, name: str) -> WatchedFunction:
        """Check every call of a function from now on."""
        return WatchedFunction(self, self._model.functions[name], self.exits(name))

    def give_up(self, names: Iterable[str]) -> None:
        """Compare the calls of these functions that go on with nothing."""
        for call in [each for each in self._open if each.function.name in names]:
            self._give_up(call)

    def save(self) -> LockstepState:
        """How far the calls are."""
        return LockstepState(self._entered, self.calls, tuple(self._open))

    def restore(self, state: LockstepState) -> None:
        """Go back to a state that `save` returned; the CPU's watches have gone back."""
        self._entered = state.entered
        self._compared, self._given_up = state.calls
        self._open = list(state.open)

    def open_call(self) -> str:
        """Return what has to be said of the call that goes on, for people; empty if none does."""
        self._notice_closed()
        if not self._open:
            return ""
        call = self._open[-1]
        text = call_text(call.function, call.arguments)
        kind = call.function.result
        returned = "returned" if kind == "void" else f"returned {call.function.show(call.result)}"
        return f"in lockstep the model of {text}, called from {self._caller(call)}, has {returned}"

    # -- what the probes tell ----------------------------------------------------------------------

    def enter(self, function: Function, esp: int) -> None:
        """The function is entered; its return address lies at *esp*."""
        machine = self._machine
        _, *words = stack_words(machine, esp, function.argument_count + 1)
        arguments = tuple(words)
        machine.observers.leave_calls(esp + WORD_SIZE)  # the caller's own; what was deeper has been left
        self._notice_closed()
        machine.consoles.flush()
        self._overlay.clear()
        self._printed.clear()
        self._entered += 1
        registers = machine.registers()
        depth = self._stack_depth(esp)
        stack = self._overlay.stack = self._used_stack(esp, depth, len(arguments))
        try:
            result = function.call(*arguments)
        except MODEL_ERRORS as error:
            location = caller_of(self.bound, esp, registers.ebp)
            raise ModelStopped(call_text(function, arguments), str(error), location) from error
        try:
            written = machine.observers.note_written(range(esp - depth, esp + 1))
        except HostError as error:
            problem = f"{len(self._open)} calls in lockstep go on inside one another"
            raise UnsupportedFunction(function.name, problem) from error
        self._open.append(
            _OpenCall(
                function,
                self._entered,
                written,
                esp,
                arguments,
                registers,
                stack,
                result,
                self._overlay.changes(),
                "".join(self._printed),
                len(machine.output[Console.SERIAL]),
            )
        )

    def leave(self, function: Function, esp: int, eax: int, popped: int) -> None:
        """A `ret` of the function is reached that takes *popped* bytes of arguments with it."""
        self._notice_closed()
        mine = [each for each in self._open if each.function is function]
        call = next((each for each in reversed(mine) if each.esp == esp), None)
        if call is None and mine and esp in _near(mine[-1]):
            call = mine[-1]
        if call is None:
            return  # it was entered before it was watched
        while self._open[-1] is not call:
            self._give_up(self._open[-1])
        self._open.pop()
        written = call.written.take()
        self._compared += 1
        differences = tuple(self._differences(call, esp + popped, eax, written))
        if differences:
            self._compared -= 1
            text = call_text(function, call.arguments)
            raise Divergence(text, self._caller(call), call.number, differences)

    def _caller(self, call: _OpenCall) -> str:
        return caller_of(self.bound, call.esp, call.registers.ebp)

    def _give_up(self, call: _OpenCall) -> None:
        self._open.remove(call)
        self._given_up += 1
        call.written.close()

    def _notice_closed(self) -> None:
        """Give up the calls that the core has seen to be left."""
        for call in [each for each in self._open if not each.written.is_open]:
            self._give_up(call)

    # -- what is compared --------------------------------------------------------------------------

    def _differences(self, call: _OpenCall, esp: int, eax: int, written: Written) -> Iterator[Difference]:
        function = call.function
        if function.result != "void":
            mask = 0xFF if function.result == "bool" else WORD_MAX
            if (eax ^ call.result) & mask:
                yield Difference("result", function.show(call.result & mask), function.show(eax & mask))
        yield from _register_differences(call, esp, self._machine.registers())
        yield from memory_differences(
            self._machine.memory, call.changes, written, call.stack, self._native.locate
        )
        self._machine.consoles.flush()
        printed = self._machine.output[Console.SERIAL][call.console_size :].decode("latin-1")
        if printed != call.console:
            yield Difference("console", repr(call.console), repr(printed))

    def _stack_depth(self, esp: int) -> int:
        """Bytes below ESP that the native code may use.

        The stack ends with the object symbol that it lies in; without one, 2 KiB are assumed, more than any
        allocator needs.
        """
        starts, ends = self._stacks
        index = bisect_right(starts, esp) - 1
        known = index >= 0 and esp < ends[index]
        return esp - starts[index] if known else min(_STACK_GUESS, esp)

    def _used_stack(self, esp: int, depth: int, arguments: int) -> range:
        """Physical addresses that the native code may use: its arguments and everything below, to the stack's end."""
        top = self._machine.translate(esp)
        return range(0) if top is None else range(max(0, top - depth), top + WORD_SIZE * (1 + arguments))


def _enterer(lockstep: Lockstep, function: Function) -> Callable[[int, int, int], int]:
    def enter(_kind: int, esp: int, eax: int) -> int:
        lockstep.enter(function, esp)
        return eax

    return enter


def _leaver(lockstep: Lockstep, function: Function, popped: int) -> Callable[[int, int, int], int]:
    def leave(_kind: int, esp: int, eax: int) -> int:
        lockstep.leave(function, esp, eax, popped)
        return eax

    return leave


def _near(call: _OpenCall) -> range:
    """Where ESP is at a `ret` of the call that takes another word for the return address."""
    return range(call.esp - _STACK_GUESS, call.esp + WORD_SIZE * _POPPED_MAX)


def _register_differences(call: _OpenCall, esp: int, now: Registers) -> Iterator[Difference]:
    """Yield what the function should have kept, and ESP as it will be after the `ret`."""
    before = call.registers
    for name in _KEPT:
        expected, actual = getattr(before, name), getattr(now, name)
        if expected != actual:
            yield Difference(name.upper(), f"0x{expected:08x}", f"0x{actual:08x}")
    if esp != call.esp:
        yield Difference("ESP", f"0x{call.esp + WORD_SIZE:08x}", f"0x{esp + WORD_SIZE:08x}")
    for name, flag in _FLAGS.items():
        expected, actual = bool(before.eflags & flag), bool(now.eflags & flag)
        if expected != actual:
            yield Difference(name, str(int(expected)), str(int(actual)))


def _objects(symbols: Iterable[Symbol]) -> tuple[list[int], list[int]]:
    """Start and end addresses of all data objects, ascending."""
    spans = sorted(
        (each.address, each.address + each.size) for each in symbols if each.kind == "object" and each.size
    )
    return [start for start, _end in spans], [end for _start, end in spans]
