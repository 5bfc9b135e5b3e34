"""Record calls: the core notes them as rows of columns, without any Python in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import unknown_function
from emulator.loader.elf.symbols import Symbol
from emulator.loader.functions.entries import Entry
from emulator.loader.functions.locations import Computed, InRegister, IsConstant, NotKnown, OnStack, Operation
from emulator.machine.call_stack import prepare_stacks
from emulator.machine.code.exits import find_exits
from emulator.machine.core.call_recorder import EntryRow
from emulator.machine.core.observed import ProbeKind
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from emulator.loader.functions.locations import Location
    from emulator.machine.core.call_recorder import CallRows, LateReturn
    from emulator.machine.machine import Machine

VALUES_MAX = 8
FUNCTIONS_MAX = 127
ENTRIES_MAX = 1024
OPERATIONS_MAX = 4096
_END: Final = (0, 0)

_REGISTERS: Final = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")  # as instructions encode them


class _Kind(IntEnum):
    """How the core finds a value, as in core.h."""

    NOTHING = 0
    ON_STACK = 1
    IN_REGISTER = 2
    IMMEDIATE = 3
    COMPUTED = 4


class RecordedFunction(NamedTuple):
    """A function to record.

    Attributes:
        name: What it is called.
        argument_count: Words on the stack to keep, at most `VALUES_MAX`; of a function with *entries*, values.
        out: Which of them, from 0, points to a word for a result; None: none.
        takes: Its calls are allocations, see `Machine.run`.
        entries: Where it is entered; None: at the symbol of its name, by the calling convention of C.
    """

    name: str
    argument_count: int = 0
    out: int | None = None
    takes: bool = False
    entries: tuple[Entry, ...] | None = None


@dataclass(slots=True)
class Recording:
    """The calls of some functions as the core notes them. Use `record` to begin one, and `close` to end it.

    Attributes:
        machine: Whose guest is recorded.
        functions: What is recorded; a row's function code is the position in here.
        names: Names of the functions by the linked addresses of their entries.
        on_rows: Is called with full rows, which are empty again afterwards; None: they are forgotten, and only the
            newest calls remain.
        torn: `on_rows` failed: it may have kept the rows, so they must not be handed over again. Ctrl-C waits until it is done, a
            second one does not.
    """

    machine: Machine
    functions: tuple[RecordedFunction, ...]
    names: Mapping[int, str]
    on_rows: Callable[[CallRows], None] | None
    torn: bool = field(default=False, init=False)
    _stacks_taken: int = field(default=0, init=False)

    @property
    def event_count(self) -> int:
        """Entries and returns so far."""
        return self.machine.calls.event_count

    def rows(self) -> CallRows:
        """Return the rows that were not handed over yet, the newest call's among them; they change when the machine runs."""
        return self.machine.calls.rows()

    def flush(self) -> None:
        """Hand over the rows there are, also when they are not full."""
        if self.on_rows is None:
            return
        with self.machine.calls.take_rows() as rows:
            self.torn = True
            self.on_rows(rows)
            self.torn = False

    def keep_newest(self) -> None:
        """Hand over no more rows; only the newest calls remain."""
        self.on_rows = None
        self.machine.calls.forget_full_rows()

    def hand_over(self, on_rows: Callable[[CallRows], None] | None) -> None:
        """Hand over rows again, after `keep_newest`."""
        self.on_rows = on_rows
        self.machine.calls.hand_over_rows(self.flush)

    def late_returns(self) -> list[LateReturn]:
        """Return, for `on_rows`, the returns of calls whose rows were handed over before."""
        return self.machine.calls.late_returns()

    def new_stacks(self) -> Iterator[tuple[int, int]]:
        """Yield, for `on_rows`, the call stacks met since it was asked last, and the first call of each."""
        count = len(self.machine.stacks)
        for number in range(self._stacks_taken + 1, count + 1):
            yield number, self.machine.stacks.stack(number)[0]
        self._stacks_taken = count

    def stack(self, number: int) -> tuple[int, ...]:
        """Return the return addresses of a call stack, innermost first."""
        return self.machine.stacks.stack(number)[1] if number else ()

    def close(self) -> None:
        """End the recording. Rows that were not handed over are lost; `flush` them before."""
        if self.machine.recording is self:
            self.machine.calls.stop()
            self.machine.recording = None


def record(
    machine: Machine,
    functions: Sequence[RecordedFunction],
    on_rows: Callable[[CallRows], None] | None = None,
) -> Recording:
    """Record the calls of some functions of the guest from now on.

    A function that leaves by a jump to another one ends with that one. A function that a model stands in for, or one
    that never returns, can be recorded like any other.

    Args:
        machine: Whose guest. Attach its layers first.
        functions: 1 to `FUNCTIONS_MAX`, with at most `ENTRIES_MAX` entries.
        on_rows: See `Recording`.

    Raises:
        KernelMismatch: The kernel has no such symbol.
        UnsupportedFunction: There is no code at an entry.
        ValueError: There is no function, or there are too many functions, entries or values, or the machine has a recording that was not closed.
    """
    if machine.recording is not None:
        raise ValueError("the machine's calls are recorded already: close that recording first")
    if not functions:
        raise ValueError("there is no function to record")
    if len(functions) > FUNCTIONS_MAX:
        raise ValueError(f"{len(functions)} functions cannot be recorded at once, {FUNCTIONS_MAX} can")
    for function in functions:
        if not 0 <= function.argument_count <= VALUES_MAX:
            raise ValueError(f"{function.name}: {function.argument_count} arguments, not 0 to {VALUES_MAX}")
    entries = [(number, entry) for number, each in enumerate(functions) for entry in _entries(machine, each)]
    if len(entries) > ENTRIES_MAX:
        raise ValueError(f"functions are entered at {len(entries)} places, {ENTRIES_MAX} can be recorded")
    probes = _probes(machine, functions, entries)
    names = {entry.address: functions[number].name for number, entry in entries}
    recording = Recording(machine, tuple(functions), names, on_rows)
    prepare_stacks(machine)
    table = _Table()
    rows = [table.row(machine, number, functions[number], entry) for number, entry in entries]
    machine.calls.start(rows, table.operations, None if on_rows is None else recording.flush)
    machine.recording = recording
    for address, number, kind in probes:
        machine.observers.record_at(address, number, kind)
    machine.flush_code()
    return recording


def _entries(machine: Machine, function: RecordedFunction) -> tuple[Entry, ...]:
    if function.entries is not None:
        return function.entries
    symbol = machine.image.symbol(function.name)
    if symbol is None:
        raise unknown_function(machine.image.path, function.name)
    words = tuple(OnStack(WORD_SIZE * (1 + index)) for index in range(function.argument_count))
    out = function.out
    block = None if out is None else Computed(((Operation.VALUE, out), (Operation.LOAD32, 0)))
    return (Entry(symbol.address, symbol.address + symbol.size, words, block),)


class _Table:
    """The operations of all computations, one after the other."""

    def __init__(self) -> None:
        self.operations: list[tuple[int, int]] = []

    def row(self, machine: Machine, number: int, function: RecordedFunction, entry: Entry) -> EntryRow:
        """Return an entry as the core knows it."""
        head = entry.head or range(0)
        return EntryRow(
            start=entry.address,
            end=entry.end,
            physical=machine.image.physical(entry.address),
            head_start=head.start,
            head_end=head.stop,
            function=number,
            value_count=len(entry.values),
            values=[self._value(each) for each in entry.values],
            block=-1 if entry.block is None else self._first_of(entry.block),
            takes=function.takes,
            inlined=entry.is_inlined,
        )

    def _value(self, value: Location) -> tuple[int, int]:
        match value:
            case OnStack(offset):
                return _Kind.ON_STACK, offset
            case InRegister(register):
                return _Kind.IN_REGISTER, _REGISTERS.index(register)
            case IsConstant(word):
                return _Kind.IMMEDIATE, word
            case Computed():
                return _Kind.COMPUTED, self._first_of(value)
            case NotKnown():
                return _Kind.NOTHING, 0

    def _first_of(self, computed: Computed) -> int:
        """Add a computation, and return the number of its first operation."""
        first = len(self.operations)
        self.operations += [*computed.operations, _END]
        if len(self.operations) > OPERATIONS_MAX:
            raise ValueError(f"the values of calls are computed in more than {OPERATIONS_MAX} operations")
        return first


def _probes(
    machine: Machine, functions: Sequence[RecordedFunction], entries: Sequence[tuple[int, Entry]]
) -> list[tuple[int, int, ProbeKind]]:
    """Return the entries, each address at which one of the functions may end, once, and the jumps to entries on the way there."""
    starts = {entry.address for _, entry in entries}
    exits: set[int] = set()
    jumps: set[int] = set()
    others: set[int] = set()
    for number, entry in entries:
        if entry.is_inlined:
            continue
        function = Symbol(functions[number].name, entry.address, entry.end - entry.address, "function")
        found = find_exits(machine.image, function, lambda at, size: _code(machine, at, size))
        exits.update(found.returns)
        to_entries = [jump for jump in found.jumps if jump.target in starts]
        jumps.update(jump.address for jump in to_entries)
        others.update(jump.fall_through for jump in to_entries)
    # An exit can be an entry, too: the ret instead of a modelled function. It is entered first.
    return [
        *((entry.address, index, ProbeKind.ENTRY) for index, (_, entry) in enumerate(entries)),
        *((address, 0, ProbeKind.EXIT) for address in sorted(exits)),
        *((address, 0, ProbeKind.NO_JUMP) for address in sorted(others)),
        *((address, 0, ProbeKind.JUMP) for address in sorted(jumps)),
    ]


def _code(machine: Machine, address: int, size: int) -> bytes:
    """Return code as it is in memory, where a function that a model stands in for is only a `ret`; paging may be off yet."""
    wanted = len(machine.image.code(address, size))
    return machine.memory.read(machine.image.physical(address), wanted) if wanted else b""
