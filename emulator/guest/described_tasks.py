"""The tasks of a kernel whose profile says where they are, with the layout of its debug information.

Nothing in the kernel's memory is believed: a list ends after so many entries, and an entry that cannot be read is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.errors import KernelMismatch
from emulator.guest.tasks import RUNNING_KERNEL, GuestTask, pushed_registers
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.units import declaring
from emulator.loader.dwarf.value_types import Kind, ValueType
from emulator.loader.dwarf.variables import Variables
from emulator.wording import printable
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emulator.machine.machine import Machine
    from emulator.profile.tasks import TaskRules

_TASKS_MAX: Final = 1024
_RING: Final = 3  # bits of a selector


class _Field(NamedTuple):
    """Some bytes of a structure, or of a variable: where they begin, and what they are."""

    offset: int
    type: ValueType

    @property
    def size(self) -> int:
        """Bytes; a word where that is not known."""
        return self.type.size or WORD_SIZE


class DescribedTasks:
    """The tasks of a kernel that a profile describes; see `emulator.guest.tasks.TaskReader`.

    Args:
        machine: Runs the kernel.
        rules: What the profile says.

    Raises:
        KernelMismatch: The kernel's debug information lacks what the rules name.
    """

    def __init__(self, machine: Machine, rules: TaskRules) -> None:
        self._machine = machine
        self._rules = rules
        self._list = self._variable(rules.list)
        self._structure = self._structure_type(self._list.type)
        self._id = self._field(rules.id)
        self._next, self._name, self._stack, self._esp = (
            self._field(each) if each else None for each in (rules.next, rules.name, rules.stack, rules.esp)
        )
        self._unused = self._field(rules.unused[0]) if rules.unused else None
        self._current = self._variable(rules.current) if rules.current else None

    def running(self) -> int:
        """Return the id of the task that runs; 0: none."""
        at = self._running_at()
        return 0 if at is None else self._number(at, self._id)

    def tasks(self) -> list[GuestTask]:
        """Return all tasks, and what is none where it runs."""
        running = self._running_at()
        found: dict[int, GuestTask] = {}
        for at in self._structures():
            number = self._number(at, self._id)
            registers = {} if at == running else self._registers(at)
            state = "running" if at == running else "waits"
            if number:
                task = GuestTask(number, state, at == running, registers, self._title(at))
                found.setdefault(number, task)
        if not any(each.is_running for each in found.values()):
            found = {0: RUNNING_KERNEL, **found}
        return list(found.values())

    # What the debug information says.

    def _variable(self, path: str) -> _Field:
        name, *members = path.split(".")
        symbol = self._machine.image.symbol(name)
        units = self._machine.image.units
        try:
            entry = None if symbol is None else Variables(units).entry_at(symbol.address)
            typed = None if entry is None else declaring(entry, "DW_AT_type")
        except DAMAGE:
            typed = None
        if symbol is None or typed is None:
            raise self._lacks(f"variable {name}")
        return self._member(_Field(symbol.address, ValueType(units, typed)), members, path)

    def _field(self, path: str) -> _Field:
        return self._member(_Field(0, self._structure), path.split("."), path)

    def _member(self, of: _Field, members: list[str], path: str) -> _Field:
        for name in members:
            found = next((each for each in of.type.members if each.name == name), None)
            if found is None or found.bits is not None:
                raise self._lacks(f"member {name} in {path}")
            of = _Field(of.offset + found.offset, found.type)
        return of

    def _structure_type(self, of: ValueType) -> ValueType:
        """Return what a task is, by the type of the list."""
        if of.kind is Kind.ARRAY:
            of = of.element
        if of.kind is Kind.POINTER:
            of = of.target
        if of.kind is not Kind.STRUCT or not of.size:
            raise self._lacks(f"structure in {self._rules.list}")
        return of

    def _lacks(self, what: str) -> KernelMismatch:
        problem = f"its debug information has no {what}, which the profile's [tasks] names"
        return KernelMismatch(self._machine.image.path, problem)

    # What the kernel's memory says.

    def _structures(self) -> Iterator[int]:
        """Yield the addresses of all tasks."""
        unused = self._rules.unused
        for at in self._entries():
            if len(self._machine.read_linear(at, self._structure.size or 1)) < (self._structure.size or 1):
                continue
            if self._unused is None or unused is None or self._number(at, self._unused) != unused[1]:
                yield at

    def _entries(self) -> Iterator[int]:
        at, kind = self._list
        if kind.kind is Kind.ARRAY:
            size = kind.element.size or WORD_SIZE
            for index in range(min(kind.count or 0, _TASKS_MAX)):
                entry = at + index * size
                if kind.element.kind is Kind.POINTER:
                    entry = self._word(entry)
                if entry:
                    yield entry
            return
        entry = self._word(at) if kind.kind is Kind.POINTER else at
        seen: set[int] = set()
        while entry and entry not in seen and len(seen) < _TASKS_MAX:
            seen.add(entry)
            yield entry
            entry = self._number(entry, self._next) if self._next is not None else 0

    def _running_at(self) -> int | None:
        """Return where the task that runs is; None: none does, as far as is known."""
        registers = self._machine.registers()
        if self._stack is not None and not registers.cs & _RING:
            esp = registers.on_stack(registers.esp)
            for at in self._structures():
                start = self._number(at, self._stack)
                if start and start < esp <= start + self._rules.stack_size:
                    return at
            return None
        current = 0 if self._current is None else self._word(self._current.offset)
        return next((at for at in self._structures() if at == current), None)

    def _registers(self, at: int) -> dict[str, int]:
        if self._esp is None:
            return {}
        return pushed_registers(self._machine, self._number(at, self._esp), self._rules.pushed)

    def _title(self, at: int) -> str:
        if self._name is None:
            return ""
        data = self._machine.read_linear(at + self._name.offset, self._name.size)
        return printable(data.partition(b"\0")[0].decode("utf-8", "replace"))

    def _number(self, at: int, field: _Field) -> int:
        data = self._machine.read_linear(at + field.offset, min(field.size, WORD_SIZE))
        return int.from_bytes(data, "little")

    def _word(self, at: int) -> int:
        return int.from_bytes(self._machine.read_linear(at, WORD_SIZE), "little")
