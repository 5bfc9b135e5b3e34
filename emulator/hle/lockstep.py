"""Mode `lockstep`: the native code runs, and the model runs beside it on an overlay.

At a function's entry the model makes the same call on a copy-on-write view of guest RAM. While the native code runs,
the core notes each page that it writes, with the page's bytes from before. At the function's exit the two must agree
on the result, on every byte of memory and on what was printed. The part of the stack that the native code used for
itself is left out: a model has no stack.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.errors import EmulatorError, ModelStopped
from emulator.hle.binding import call_text, stack_words
from emulator.hle.model import MODEL_ERRORS
from emulator.machine.core_types import ProbeAction, ProbeKind
from emulator.machine.exits import find_own_exits
from emulator.machine.machine import Console
from emulator.machine.memory import PAGE_SIZE, PhysicalMemory
from kernel_model.memory import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from emulator.hle.kernels import Kernel
    from emulator.loader.symbols import Symbol
    from emulator.machine.cpu import Cpu
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function

_STACK_GUESS = 2048
_WORD = 4
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where native code and model disagree.

    Attributes:
        place: ``result``, ``console``, or the address and what lies there.
        expected: What the model says.
        actual: What the native code did.
    """

    place: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.place}: expected {self.expected}, actual {self.actual}"


class Divergence(EmulatorError):
    """Native code and model disagree after a call. The text is a report of several lines.

    Attributes:
        call: The call with its arguments.
        location: Where it came from, for people.
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
    esp: int
    caller: int
    arguments: tuple[int, ...]
    result: int
    changes: dict[int, int]
    console: str
    console_size: int


class WatchedMemory(PhysicalMemory):
    """Guest RAM for models that replace functions inside of calls in lockstep: their writes count as the native code's.

    Args:
        cpu: Notes the pages that are written.
    """

    __slots__ = ("_note",)

    def __init__(self, cpu: Cpu) -> None:
        super().__init__(cpu.memory)
        self._note = cpu.watch_note

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


class Lockstep:
    """Runs models beside the guest's own functions.

    Args:
        machine: Whose guest.
        kernel: Which kernel it runs.
        symbols: Addresses of the guest's symbols by name.
    """

    def __init__(self, machine: Machine, kernel: Kernel, symbols: Mapping[str, int]) -> None:
        self._machine = machine
        self._overlay = Overlay(machine.memory)
        self._printed: list[str] = []
        self._model = kernel.models(self._overlay, symbols, self._printed.append)
        self._native = kernel.models(machine.memory, symbols, self._printed.append)  # only to name places
        self._open: list[_OpenCall] = []
        self._stacks = _objects(machine.image.symbols.values())
        self.calls = 0

    def watch(self, name: str, symbol: Symbol) -> None:
        """Check every call of a function from now on.

        Raises:
            UnsupportedFunction: Its end cannot be found.
        """
        function = self._model.functions[name]
        exits = find_own_exits(self._machine.image, symbol)

        def probe(kind: int, esp: int, eax: int) -> int:
            if kind == ProbeKind.ENTRY:
                self._enter(function, esp)
            else:
                self._leave(esp, eax)
            return eax

        number = self._machine.add_callback(probe)
        cpu = self._machine.cpu
        cpu.add_probe(symbol.address, number, ProbeKind.ENTRY, ProbeAction.TELL)
        for address in exits:
            cpu.add_probe(address, number, ProbeKind.EXIT, ProbeAction.TELL)

    def _enter(self, function: Function, esp: int) -> None:
        machine = self._machine
        caller, *words = stack_words(machine, esp, function.argument_count + 1)
        arguments = tuple(words)
        machine.cpu.flush_console()
        self._overlay.clear()
        self._printed.clear()
        self.calls += 1
        try:
            result = function.call(*arguments)
        except MODEL_ERRORS as error:
            location = machine.image.location(caller)
            raise ModelStopped(call_text(function, arguments), str(error), location) from error
        self._open.append(
            _OpenCall(
                function,
                self.calls,
                esp,
                caller,
                arguments,
                result,
                self._overlay.changes(),
                "".join(self._printed),
                len(machine.output[Console.SERIAL]),
            )
        )
        machine.cpu.watch_begin()

    def _leave(self, esp: int, eax: int) -> None:
        while self._open:
            call = self._open.pop()
            touched = self._machine.cpu.watch_end()
            if call.esp == esp:  # calls that never came back (a stack was switched or unwound) end unchecked
                differences = tuple(self._differences(call, eax, touched))
                if differences:
                    location = self._machine.image.location(call.caller)
                    raise Divergence(
                        call_text(call.function, call.arguments), location, call.number, differences
                    )
                return

    def _differences(self, call: _OpenCall, eax: int, touched: dict[int, bytes]) -> Iterator[Difference]:
        kind = call.function.result
        if kind != "void":
            mask, width = (0xFF, 4) if kind == "bool" else (0xFFFFFFFF, 10)
            if (eax ^ call.result) & mask:
                yield Difference("result", f"{call.result & mask:#0{width}x}", f"{eax & mask:#0{width}x}")
        yield from self._memory_differences(call, touched)
        self._machine.cpu.flush_console()
        printed = self._machine.output[Console.SERIAL][call.console_size :].decode("latin-1")
        if printed != call.console:
            yield Difference("console", repr(call.console), repr(printed))

    def _memory_differences(self, call: _OpenCall, touched: dict[int, bytes]) -> Iterator[Difference]:
        memory = self._machine.memory
        stack = self._used_stack(call)
        pages = dict(touched)
        for address in call.changes:
            page = address & -PAGE_SIZE
            if page not in pages:
                pages[page] = memory.read(page, PAGE_SIZE)  # the native code left it alone
        for page in sorted(pages):
            expected = bytearray(pages[page])
            for address, value in call.changes.items():
                if address & -PAGE_SIZE == page:
                    expected[address - page] = value
            actual = memory.read(page, PAGE_SIZE)
            own = slice(max(stack.start - page, 0), max(min(stack.stop - page, PAGE_SIZE), 0))
            expected[own] = actual[own]
            if expected != actual:
                yield from self._word_differences(page, bytes(expected), actual)

    def _word_differences(self, page: int, expected: bytes, actual: bytes) -> Iterator[Difference]:
        for offset in range(0, PAGE_SIZE, _WORD):
            word = slice(offset, offset + _WORD)
            if expected[word] != actual[word]:
                address = page + offset
                place = self._native.describe(address)
                where = f"0x{address:08x}" if place == f"0x{address:08x}" else f"0x{address:08x} {place}"
                words = (int.from_bytes(each[word], "little") for each in (expected, actual))
                yield Difference(where, *(f"0x{each:08x}" for each in words))

    def _used_stack(self, call: _OpenCall) -> range:
        """Physical addresses that the native code may use: its arguments and everything below, to the stack's end.

        The stack ends with the object symbol that it lies in; without one, 2 KiB are assumed, more than any
        allocator needs.
        """
        top = self._machine.cpu.translate(call.esp)
        if top is None:
            return range(0)
        starts, ends = self._stacks
        index = bisect_right(starts, call.esp) - 1
        known = index >= 0 and call.esp < ends[index]
        depth = call.esp - starts[index] if known else _STACK_GUESS
        return range(max(0, top - depth), top + _WORD * (1 + len(call.arguments)))


def _objects(symbols: Iterable[Symbol]) -> tuple[list[int], list[int]]:
    """Start and end addresses of all data objects, ascending."""
    spans = sorted(
        (each.address, each.address + each.size) for each in symbols if each.kind == "object" and each.size
    )
    return [start for start, _end in spans], [end for _start, end in spans]
