"""Evaluates expressions on a machine that stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from emulator.debug.expressions.arithmetic import Number, calculated, inverted, wrapped
from emulator.debug.expressions.parser import REPEATED_MAX
from emulator.debug.values import SCALARS, Value
from emulator.guest.storage import InMemory, Known, Unavailable
from emulator.loader.dwarf.value_types import Kind
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from emulator.debug.expressions.parser import Node
    from emulator.debug.values import Memory
    from emulator.loader.dwarf.entries import Unit
    from emulator.loader.dwarf.made_types import MadeTypes
    from emulator.loader.dwarf.value_types import ValueType

_BITS: Final = 8


class Context(Protocol):
    """What names mean."""

    def variable(self, name: str) -> Value | None:
        """Return a variable; None: there is none of this name."""

    def function(self, name: str) -> int | None:
        """Return the address of a function; None: there is none of this name."""

    def label(self, name: str) -> int | None:
        """Return the address of any other symbol; None: there is none of this name."""

    def floating(self, name: str) -> Value | None:
        """Return a register of the FPU's stack; None: the name is that of none.

        Raises:
            Unavailable: It is empty, or not known.
        """

    def register(self, name: str) -> int:
        """Return a register.

        Raises:
            ValueError: There is none of this name.
            Unavailable: It is not known.
        """

    @property
    def memory(self) -> Memory:
        """How values are read."""

    @property
    def types(self) -> MadeTypes:
        """The types of the kernel."""

    @property
    def unit(self) -> Unit | None:
        """The unit whose types are meant if there are several of a name; None: none in particular."""


def evaluated(node: Node, context: Context) -> Value | Number:
    """Return what an expression is: a variable or a part of one, or a number.

    Raises:
        ValueError: A name means nothing, or an operation is not one of what it is applied to.
        Unavailable: A value is not to be had.
    """
    result = _found(node, context)
    return result.target if isinstance(result, Value) and result.type.is_reference else result


def _found(node: Node, context: Context) -> Value | Number:  # noqa: C901, PLR0911 - one case for each kind
    match node.kind:
        case "name":
            return _named(node.text, context)
        case "register":
            return _register(node.text, context)
        case "prefix":
            return _prefixed(node, context)
        case "binary":
            return _combined(node, context)
        case "choice":
            condition, first, second = node.parts
            return evaluated(first if number_of(evaluated(condition, context)).value else second, context)
        case "cast":
            return _converted(_type(node, context), evaluated(node.parts[0], context), context)
        case "at":
            address = number_of(evaluated(node.parts[0], context)).value & WORD_MAX
            return Value(context.memory, _type(node, context), InMemory(context.memory.read, address))
        case "size of":
            return _size_of(node, context)
        case "member":
            of = _value(node.parts[0], context)
            return (of.target if of.type.kind is Kind.POINTER else of).member(node.text)
        case "pointer member":
            return _value(node.parts[0], context).target.member(node.text)
        case "index":
            index = number_of(evaluated(node.parts[1], context)).value
            return _value(node.parts[0], context).element(index)
    assert node.number is not None  # noqa: S101 - a constant
    return node.number


def _register(name: str, context: Context) -> Value | Number:
    floating = context.floating(name)
    return Number(context.register(name), is_signed=False) if floating is None else floating


def _type(node: Node, context: Context) -> ValueType:
    assert node.type is not None  # noqa: S101 - of these nodes
    return context.types.named(node.type, context.unit)


def _converted(type_: ValueType, result: Value | Number, context: Context) -> Value:
    """Return a number as a value of a scalar type."""
    size = type_.size
    if type_.kind not in SCALARS or size is None:
        raise ValueError(f"nothing can be converted to {type_.name}")
    number = number_of(result).value
    if type_.kind is Kind.BOOLEAN:
        number = int(number != 0)
    data = (number & (1 << size * _BITS) - 1).to_bytes(size, "little")
    return Value(context.memory, type_, Known(data))


def _size_of(node: Node, context: Context) -> Number:
    if node.type is not None:
        of = _type(node, context)
    else:
        result = evaluated(node.parts[0], context)
        if isinstance(result, Number):
            return Number(result.size, is_signed=False)
        if result.bits is not None:
            raise ValueError("a bit field has no size")
        of = result.type
    if of.size is None:
        raise ValueError(f"the size of {of.name} is not known")
    return Number(of.size, is_signed=False)


def _repeated(first: Value | Number, count: int, context: Context) -> Value:
    """Return an array of values that lie side by side, like the first one."""
    if isinstance(first, Number) or first.address is None:
        raise ValueError("only what lies in memory has others beside it")
    if not 1 <= count <= REPEATED_MAX:
        raise ValueError(f"an array of {count} elements")
    type_ = context.types.array_of(first.type, count)
    return Value(context.memory, type_, first.storage, first.offset)


def _named(name: str, context: Context) -> Value | Number:
    value = context.variable(name)
    if value is not None:
        return value
    address = context.function(name)
    if address is not None:
        return Number(address, is_signed=False)
    if context.label(name) is not None:
        raise ValueError(f"{name} has no type in the debug information; &{name} is its address")
    raise ValueError(f"there is no variable {name!r} here")


def _value(node: Node, context: Context) -> Value:
    result = evaluated(node, context)
    if isinstance(result, Number):
        raise ValueError(f"{_written(node)} is a number, which has no parts")  # noqa: TRY004 - of the expression, not of Python
    return result


def _written(node: Node) -> str:
    return f"${node.text}" if node.kind == "register" else node.text


def _prefixed(node: Node, context: Context) -> Value | Number:
    operand = node.parts[0]
    if node.text == "&":
        return _address(operand, context)
    if node.text == "*":
        return _value(operand, context).target
    return inverted(node.text, number_of(evaluated(operand, context)))


def _address(operand: Node, context: Context) -> Value | Number:
    if operand.kind == "name" and context.variable(operand.text) is None:
        function, label = context.function(operand.text), context.label(operand.text)
        found = label if function is None else function
        if found is None:
            raise ValueError(f"there is no variable {operand.text!r} here")
        return Number(found, is_signed=False)
    value = _value(operand, context)
    if value.address is None:
        raise Unavailable(f"{operand.text} has no address")
    data = value.address.to_bytes(WORD_SIZE, "little")
    return Value(context.memory, context.types.pointer_to(value.type), Known(data))


def _combined(node: Node, context: Context) -> Value | Number:
    if node.text in ("&&", "||"):
        first = bool(number_of(evaluated(node.parts[0], context)).value)
        if first == (node.text == "||"):
            return Number(int(first))
        return Number(int(bool(number_of(evaluated(node.parts[1], context)).value)))
    left, right = (evaluated(each, context) for each in node.parts)
    if node.text == "@":
        return _repeated(left, number_of(right).value, context)
    if node.text == "+" and _is_pointer(right) and not _is_pointer(left):
        left, right = right, left
    if node.text in ("+", "-") and isinstance(left, Value) and _is_pointer(left):
        return _moved(left, node.text, right, context)
    return calculated(node.text, number_of(left), number_of(right))


def _is_pointer(result: Value | Number) -> bool:
    return isinstance(result, Value) and result.type.kind in (Kind.POINTER, Kind.ARRAY)


def _moved(pointer: Value, mark: str, by: Value | Number, context: Context) -> Value | Number:
    """Return a pointer plus or minus a number of what it points to, or the difference of two pointers."""
    size = (pointer.type.element if pointer.type.kind is Kind.ARRAY else pointer.type.target).size
    if not size:
        raise ValueError(f"the size of what {pointer.type.name} points to is not known")
    if isinstance(by, Value) and _is_pointer(by):
        if mark == "+":
            raise ValueError("two pointers have no sum")
        return wrapped((pointer.number - by.number) // size, WORD_SIZE, is_signed=True)
    distance = size * number_of(by).value * (1 if mark == "+" else -1)
    moved = Known((pointer.number + distance & WORD_MAX).to_bytes(WORD_SIZE, "little"))
    if pointer.type.kind is Kind.POINTER:
        return pointer.moved_to(moved)
    return Value(context.memory, context.types.pointer_to(pointer.type.element), moved)


def number_of(result: Value | Number) -> Number:
    """Return what a result counts as in a computation: types smaller than int are that."""
    if isinstance(result, Number):
        return result
    value = result.number
    size = result.type.size or WORD_SIZE
    if result.type.kind is Kind.ARRAY:
        size = WORD_SIZE
    width = size * _BITS if result.bits is None else result.bits[1]
    if width < WORD_SIZE * _BITS:
        return Number(value)
    return Number(value, max(size, WORD_SIZE), result.type.is_signed and result.type.kind is not Kind.POINTER)
