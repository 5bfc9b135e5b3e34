"""The variables of a machine that stands still, with their types: arguments and locals of each level of its backtrace, and global ones.

They are read from the kernel's DWARF and the machine's registers and memory. A machine that has moved needs a new `Variables`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.debug.values import Memory, Value
from emulator.errors import BadImage
from emulator.guest.backtrace import backtrace
from emulator.guest.frame_registers import REGISTERS, frame_registers, innermost_frame
from emulator.guest.locations import Places
from emulator.guest.storage import Known, Unavailable
from emulator.guest.symbols import data_symbol_lookup, symbol
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.locations import address_of
from emulator.loader.dwarf.made_types import MadeTypes, TypeName
from emulator.loader.dwarf.scoped_names import SCOPE, meant, scoped_name
from emulator.loader.dwarf.scopes import Declared, global_variables, scopes_at
from emulator.loader.dwarf.type_names import text_of
from emulator.loader.dwarf.value_types import ValueType
from emulator.loader.functions.names import find_functions
from emulator.x86 import WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.guest.backtrace import StackFrame
    from emulator.guest.frame_registers import FrameRegisters
    from emulator.loader.dwarf.entries import Unit
    from emulator.loader.dwarf.scopes import Scope
    from emulator.loader.image import KernelImage
    from emulator.machine.core.core_types import FpuRegisters
    from emulator.machine.machine import Machine

FLOATING: Final = tuple(f"st{number}" for number in range(8))
"""The registers of the FPU's stack."""
_LONG_DOUBLE: Final = TypeName(("long", "double"))
_FAR: Final = 1 << 16  # an address so far from its symbol is not named by it


class Variable(NamedTuple):
    """A variable.

    Attributes:
        name: As in the source.
        value: Of it.
        file: The source file of a global one, as the compiler named it; "" of others.
    """

    name: str
    value: Value
    file: str = ""


def distinct_names(variables: Sequence[Variable]) -> list[str]:
    """Return the names of some variables, with the file where several have one name."""
    count = Counter(each.name for each in variables)
    return [each.name if count[each.name] == 1 else f"{each.name} ({each.file})" for each in variables]


class Level(NamedTuple):
    """A level of the backtrace, with what is known of its variables.

    Attributes:
        stack_frame: As `backtrace` has it.
        number: Of the frame in `frame_registers`; None: nothing is known of its registers.
        scope: Its variables; None: the file does not say.
    """

    stack_frame: StackFrame
    number: int | None
    scope: Scope | None


class Variables:
    """The variables of a machine as it stands.

    Args:
        machine: It does not run, and does not move as long as this is used.
        globals_: Those of its kernel, which several may share; None: they are looked for when they are asked for.

    Attributes:
        memory: How values are read.
    """

    def __init__(self, machine: Machine, globals_: GlobalVariables | None = None) -> None:
        self._machine = machine
        self._globals = GlobalVariables(machine.image) if globals_ is None else globals_
        self._base = machine.registers().ds_base
        self.memory = Memory(self.read, self._globals.name_of)

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the backtrace, the function at EIP first."""
        levels: list[Level] = []
        inlined: list[StackFrame] = []
        number = 0
        for each in self._backtrace():
            inlined.append(each)
            if not each.frame.inlined:
                levels += self._levels(inlined, number)
                inlined = []
                number += 1
        return tuple(levels)

    @cached_property
    def frames(self) -> tuple[FrameRegisters, ...]:
        """The frames, without inlined functions, with their registers as far as they are known."""
        return frame_registers(self._machine)

    def _backtrace(self) -> tuple[StackFrame, ...]:
        return backtrace(self._machine)

    def arguments(self, level: int) -> list[Variable]:
        """Return the arguments of a level's function, in order; none where the file does not say."""
        scope = self.levels[level].scope
        return self._variables(level, () if scope is None else scope.parameters)

    def locals_(self, level: int) -> list[Variable]:
        """Return the local variables that can be named where a level stands, inner ones first; none where the file does not say."""
        scope = self.levels[level].scope
        first: dict[str, Declared] = {}
        for each in () if scope is None else scope.variables:
            first.setdefault(each.name, each)
        return self._variables(level, tuple(first.values()))

    def globals_(self) -> list[Variable]:
        """Return the global and the static variables of all files, by name."""
        return [
            Variable(each.name, self._value(each, None), self._globals.file_of(each))
            for each in self._globals.all
        ]

    def globals_of_file(self, level: int) -> list[Variable]:
        """Return the global and the static variables of the file that a level's function is in, by name; none where it is not known."""
        scope = self.levels[level].scope
        found = () if scope is None else self._globals.of_unit(scope.entry.unit)
        return [Variable(each.name, self._value(each, None)) for each in found]

    def find(self, name: str, level: int | None = None) -> Value | None:
        """Return the variable that a name means in a level: a local one, an argument, or a global one; None: there is none.

        Args:
            name: As in the source.
            level: Of the backtrace; None: only global ones are meant. Of several static ones of one name that of the level's file counts.

        Raises:
            ValueError: The name has scopes, and may mean several.
        """
        scope = None if level is None else self._scope_of(level)
        for each in () if scope is None else (*scope.variables, *scope.parameters):
            if each.name == name:
                return self._value(each, level)
        unit = None if scope is None else scope.entry.unit
        found = self._globals.named(name)
        first = next((each for each in found if each.entry is not None and each.entry.unit is unit), None)
        return self._value(first or found[0], None) if found else None

    def register(self, name: str, level: int) -> int | None:
        """Return a register in a level; None: it is not known there. Only general registers, EIP and EFLAGS are other ones there.

        Raises:
            ValueError: There is no such register.
        """
        registers = self._machine.registers()
        if name not in registers._fields:
            raise ValueError(f"{name!r} is no register")
        if name not in REGISTERS:
            return int(getattr(registers, name))
        if not level:
            return int(getattr(registers, name))
        return self._in_frame(name, level)

    def _in_frame(self, name: str, level: int) -> int | None:
        """Return a register that functions have of their own, in the frame of a level."""
        number = self.levels[level].number
        if number is None:
            return None
        frame = self.frames[number]
        is_caller = (
            number > 0 or not self._is_running
        )  # it goes on after the call whose last byte its address is
        return frame.address + is_caller if name == "eip" else frame.known.get(REGISTERS.index(name))

    def floating(self, name: str, level: int) -> Value | None:
        """Return a register of the FPU's stack in a level, ``st0`` to ``st7``; None: the name is that of none.

        Raises:
            Unavailable: It is empty; or it is not known: functions do not keep these for their callers.
        """
        if name not in FLOATING:
            return None
        if level and self.levels[level].number != 0:
            raise Unavailable(f"{name} of this frame is not known")
        fpu = self._fpu()
        number = FLOATING.index(name)
        if fpu.is_empty(number):
            raise Unavailable(f"{name} is empty")
        type_ = self.types.named(_LONG_DOUBLE)
        return Value(self.memory, type_, Known(fpu.stack[number].to_bytes(type_.size or 0, "little")))

    def all_floating(self, level: int) -> dict[str, Value]:
        """Return the registers of the FPU's stack in a level that are known and not empty, by their names."""
        found = {}
        for name in FLOATING:
            with suppress(Unavailable):
                found[name] = self.floating(name, level)
        return {name: value for name, value in found.items() if value is not None}

    @property
    def types(self) -> MadeTypes:
        """The types of the kernel."""
        return self._globals.types

    def unit(self, level: int) -> Unit | None:
        """Return the unit that a level's function is in; None: it is not known."""
        scope = self._scope_of(level)
        return None if scope is None else scope.entry.unit

    def read(self, address: int, size: int) -> bytes:
        """Read memory at an address as the kernel writes it: *size* bytes, fewer where nothing is mapped.

        A variable of a kernel that is linked high is found before the kernel has switched paging on, too.
        """
        return self._machine.read_linear(self.linear(address), size)

    def linear(self, address: int) -> int:
        """Return the linear address of an address as the kernel writes it."""
        linear = self._base + address & WORD_MAX
        image = self._machine.image
        if image.physical(address) != address and self._machine.translate(linear) in (None, linear):
            is_paged = self._machine.address_space().is_paged
            return linear if is_paged else image.physical(address)
        return linear

    def _levels(self, frames: Sequence[StackFrame], number: int) -> Iterator[Level]:
        """Yield the levels of one frame: those of its inlined functions, and its own."""
        if number >= len(self.frames):
            yield from (Level(each, None, None) for each in frames)
            return
        scopes = self._globals.scopes_at(self.frames[number].address)
        of_frames = [
            *((None,) * max(0, len(frames) - len(scopes))),
            *scopes[max(0, len(scopes) - len(frames)) :],
        ]
        for each, scope in zip(frames, of_frames, strict=True):
            yield Level(each, number, scope)

    def _variables(self, level: int, declared: Sequence[Declared]) -> list[Variable]:
        return [Variable(each.name, self._value(each, level)) for each in declared]

    def _value(self, declared: Declared, level: int | None) -> Value:
        number = level if not level else self.levels[level].number
        of = ValueType(
            self._machine.image.units,
            declared.typed,
            lambda dimension: self._places.length(dimension, declared.entry, number),
        )
        return Value(self.memory, of, self._places.storage(declared.entry, of.size, number))

    @cached_property
    def _places(self) -> Places:
        return Places(
            self._machine.image,
            self._innermost(),
            lambda: self.frames,
            self.read,
            self._fpu,
            self._is_running,
        )

    _is_running = True

    def _innermost(self) -> FrameRegisters:
        """Return the innermost frame, if that can be done without unwinding the stack."""
        return innermost_frame(self._machine)

    def _fpu(self) -> FpuRegisters:
        """Return the registers of the FPU and of SSE.

        Raises:
            Unavailable: They are not known.
        """
        return self._machine.fpu_registers()

    def _scope_of(self, level: int) -> Scope | None:
        """Return the variables of a level; of the innermost one without unwinding the stack."""
        if level:
            return self.levels[level].scope if level < len(self.levels) else None
        image, eip = self._machine.image, self._machine.registers().eip
        scopes = self._globals.scopes_at(eip)
        try:
            function = image.function_at(eip)
        except BadImage:
            function = None
        is_entry = function is not None and not function[1]
        return scopes[-1 if is_entry else 0] if scopes else None


class NamesOfLevel:
    """What names in an expression mean in a level of the backtrace (`emulator.debug.expressions.evaluation.Context`).

    Args:
        variables: Of the machine.
        image: Its kernel.
        level: Of the backtrace.
    """

    def __init__(self, variables: Variables, image: KernelImage, level: int) -> None:
        self._variables = variables
        self._image = image
        self._level = level

    def variable(self, name: str) -> Value | None:
        """See `Context`."""
        return self._variables.find(name, self._level)

    def function(self, name: str) -> int | None:
        """See `Context`."""
        if SCOPE in name:
            return scoped_function(self._image, name)
        found = symbol(self._image, name)
        return found.address if found is not None and found.kind == "function" else None

    def label(self, name: str) -> int | None:
        """See `Context`."""
        found = symbol(self._image, name)
        return None if found is None else found.address

    @property
    def memory(self) -> Memory:
        """See `Context`."""
        return self._variables.memory

    @property
    def types(self) -> MadeTypes:
        """See `Context`."""
        return self._variables.types

    @property
    def unit(self) -> Unit | None:
        """See `Context`."""
        return self._variables.unit(self._level)

    def floating(self, name: str) -> Value | None:
        """See `Context`."""
        return self._variables.floating(name, self._level)

    def register(self, name: str) -> int:
        """See `Context`."""
        value = self._variables.register(name, self._level)
        if value is None:
            raise Unavailable(f"{name} of this frame is not known")
        return value


def scoped_function(image: KernelImage, name: str) -> int | None:
    """Return the address of a function whose name has scopes, of which the outer ones may be left out; None: there is none.

    Raises:
        ValueError: It may mean several.
    """
    whole = name.removeprefix(SCOPE)
    try:
        found = find_functions(image, whole) or (
            find_functions(image, f"*{SCOPE}{name}") if whole == name else ()
        )
    except BadImage:
        found = ()
    named = {each.address: each.name for each in found if not each.is_piece}
    if len(named) > 1:
        raise ValueError(f"{name!r} may be each of {', '.join(named.values())}")
    return next(iter(named), None)


class GlobalVariables:
    """What is known of a kernel's variables whatever its machine does: the global ones, and which can be seen where. It is read once.

    Args:
        image: The kernel.
    """

    def __init__(self, image: KernelImage) -> None:
        self._image = image
        self._scopes: dict[int, tuple[Scope, ...]] = {}

    @cached_property
    def all(self) -> list[Declared]:
        """All of them, by name; damaged units are left out."""
        found = (each for unit in self._image.units.all() for each in self.of_unit(unit))
        return sorted(found, key=lambda each: each.name)

    def of_unit(self, unit: Unit) -> list[Declared]:
        """Return those of a unit, by name, without those that the linker has dropped; none where it is damaged."""
        try:
            return sorted(filter(self._is_kept, global_variables(unit)), key=lambda each: each.name)
        except DAMAGE:
            return []

    def _is_kept(self, declared: Declared) -> bool:
        address = None if declared.entry is None else address_of(declared.entry)
        return address != 0 or self._image.is_linked(0)

    def named(self, name: str) -> list[Declared]:
        """Return those of a name, whose outer scopes in C++ and Rust may be left out.

        Raises:
            ValueError: The name has scopes, and may mean several.
        """
        if SCOPE not in name:
            return self._by_name.get(name, [])
        found: dict[str, list[Declared]] = {}
        for each in self._by_name.get(name.rpartition(SCOPE)[2], []):
            with suppress(*DAMAGE):
                found.setdefault(scoped_name(each.entry or each.typed), []).append(each)
        return meant(name, found) or []

    @cached_property
    def _by_name(self) -> dict[str, list[Declared]]:
        found: dict[str, list[Declared]] = {}
        for each in self.all:
            found.setdefault(each.name, []).append(each)
        return found

    def scopes_at(self, address: int) -> tuple[Scope, ...]:
        """Return the scopes of an instruction at an address, see `emulator.loader.dwarf.scopes`."""
        if address not in self._scopes:
            linked = self._image.linked(address)
            is_linked = self._image.is_linked(linked)
            self._scopes[address] = scopes_at(self._image.units, linked) if is_linked else ()
        return self._scopes[address]

    @cached_property
    def types(self) -> MadeTypes:
        """Its types."""
        return MadeTypes(self._image.units)

    @cached_property
    def name_of(self) -> Callable[[int], str]:
        """Returns the name of an address: of a function with an offset, or of a variable."""
        return _names(self._image)

    def has_scoped(self, name: str) -> bool:
        """Return whether a name with scopes is that of a variable or a function.

        Raises:
            ValueError: It may mean several.
        """
        return bool(self.named(name)) or scoped_function(self._image, name) is not None

    def names_at(self, address: int | None) -> set[str]:
        """Return the names of the variables that an instruction at an address can see; None: of the global ones."""
        names = {each.name for each in self.all}
        for scope in () if address is None else self.scopes_at(address):
            names.update(each.name for each in (*scope.variables, *scope.parameters))
        return names

    def file_of(self, declared: Declared) -> str:
        """Return the source file of a variable's unit."""
        return "" if declared.entry is None else text_of(declared.entry.unit.top)


def _names(image: KernelImage) -> Callable[[int], str]:
    """Return what names an address: a function with an offset, or a variable."""
    data = data_symbol_lookup(image)

    def name(address: int) -> str:
        try:
            function = image.function_at(address)
        except BadImage:
            function = None
        found = data(address) if function is None else None
        if found is not None and address - found.address < _FAR:
            function = found, address - found.address
        if function is None:
            return ""
        return f"{function[0].name}+0x{function[1]:x}" if function[1] else function[0].name

    return name
