"""What a client sees of a kernel that stands still: its stack, variables by references, memory, code."""

from __future__ import annotations

from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.debug.dap.arguments import BadRequest
from emulator.debug.expressions.arithmetic import Number
from emulator.debug.expressions.expression import Expression
from emulator.debug.parked import ParkedVariables
from emulator.debug.threads import KERNEL, threads_of
from emulator.debug.variables import NamesOfLevel, Variables, distinct_names
from emulator.guest.frame_registers import REGISTERS
from emulator.guest.storage import Unavailable
from emulator.guest.tasks import RUNNING_KERNEL
from emulator.loader.dwarf.value_types import Kind
from emulator.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from emulator.debug.dap.lines import Lines
    from emulator.debug.kernel_debugger import Debugger
    from emulator.debug.values import Value
    from emulator.debug.variables import GlobalVariables
    from emulator.guest.symbolizer import Frame
    from emulator.guest.tasks import GuestTask, TaskReader
    from emulator.trace.logged import LoggedTrace

_PARKED: Final = 1 << 12
"""From here on the ids of frames are those of tasks that do not run; a backtrace has fewer levels."""
_SYSTEM: Final = (
    "cr0",
    "cr2",
    "cr3",
    "cr4",
    "cs",
    "ss",
    "ds",
    "es",
    "fs",
    "gs",
    "gdt_base",
    "gdt_limit",
    "idt_base",
    "idt_limit",
    "ldtr",
    "tr",
)


class Item(NamedTuple):
    """A line in a view of variables.

    Attributes:
        name: Of the variable.
        text: Its value.
        type: As C writes it; "": it has none.
        children: Returns what it opens into, from the n-th one on, and how many; None: nothing.
        elements: How many of the children are elements of an array.
        value: Of a variable that may be set; None: it is something else.
        address: Of it, or of what it points to; None: none.
        expression: That can be evaluated for the same; "": there is none.
        register: That is shown; "": none.
        size: Bytes of it that can be watched; 0: not known.
    """

    name: str
    text: str
    type: str = ""
    children: Callable[[int, int | None], Iterator[Item]] | None = None
    elements: int = 0
    value: Value | None = None
    address: int | None = None
    expression: str = ""
    register: str = ""
    size: int = 0


class At(NamedTuple):
    """A frame of the protocol.

    Attributes:
        variables: Of the task that runs, or of another one.
        level: Of its backtrace.
    """

    variables: Variables
    level: int

    @property
    def is_innermost(self) -> bool:
        """Whether its registers are those of the CPU."""
        return not self.level and not isinstance(self.variables, ParkedVariables)


class View:
    """What is seen at one moment. References are valid as long as the kernel stands there.

    Args:
        debugger: Of the kernel.
        lines: Of its source.
        globals_: Its variables.
        tasks: Reads its tasks; None: none are known.
    """

    def __init__(
        self, debugger: Debugger, lines: Lines, globals_: GlobalVariables, tasks: TaskReader | None
    ) -> None:
        self._debugger = debugger
        self._reader = tasks
        self._lines = lines
        self._globals = globals_
        self.variables = Variables(debugger.machine, globals_)
        self._parked: dict[int, ParkedVariables] = {}
        self._references: list[Callable[[int, int | None], Iterator[Item]]] = []

    def refresh(self) -> None:
        """See what has been changed; references stay."""
        self.variables = Variables(self._debugger.machine, self._globals)
        self._parked = {}

    def _variables_of(self, thread: int) -> Variables:
        """Return the variables of a task.

        Raises:
            BadRequest: There is no such thread.
        """
        task = self._tasks.get(thread)
        if task is None:
            raise BadRequest(f"there is no thread {thread}")
        if task.is_running:
            return self.variables
        if thread not in self._parked:
            self._parked[thread] = ParkedVariables(self._debugger.machine, self._globals, task.registers)
        return self._parked[thread]

    # The stack.

    def threads(self) -> dict[int, str]:
        """Return the names of the threads: of the tasks of a kernel whose tasks are known, or of the CPU."""
        return {
            number: f"{task.name}: {task.state}" if self._reader is not None else "CPU"
            for number, task in self._tasks.items()
        }

    @property
    def running(self) -> int:
        """The thread that the CPU executes."""
        return next(number for number, task in self._tasks.items() if task.is_running)

    @cached_property
    def _tasks(self) -> dict[int, GuestTask]:
        found = threads_of(self._reader)
        return found if any(each.is_running for each in found.values()) else {KERNEL: RUNNING_KERNEL}

    def frames(self, thread: int, start: int, count: int) -> tuple[list[dict[str, Any]], int]:
        """Return levels of a backtrace as frames of the protocol, and how many there are in all.

        Args:
            thread: Whose.
            start: The first one.
            count: How many; 0: all.

        Raises:
            BadRequest: There is no such thread.
        """
        variables = self._variables_of(thread)
        first = 1 if variables is self.variables else _PARKED * (thread + 1)
        levels = list(enumerate(variables.levels))
        chosen = levels[start : start + count if count else None]
        return [self._described(first + number, level.stack_frame.frame) for number, level in chosen], len(
            levels
        )

    def _described(self, number: int, frame: Frame) -> dict[str, Any]:
        found: dict[str, Any] = {"id": number, "name": frame.name, "line": frame.line, "column": 0}
        if frame.inlined:
            found["name"] += " (inlined)"
        if frame.file and frame.line:
            found["source"] = self._lines.source(frame.file)
            found["column"] = 1
        else:
            found["line"] = 0
            found["presentationHint"] = "subtle" if frame.address else "label"
        if frame.address:
            found["instructionPointerReference"] = f"0x{frame.address:08x}"
        return found

    def at(self, frame: int) -> At:
        """Return what the id of a frame means.

        Raises:
            BadRequest: It means none here.
        """
        thread, level = divmod(frame, _PARKED)
        variables = self.variables
        if not thread:
            level -= 1
        elif thread - 1 in self._tasks:
            variables = self._variables_of(thread - 1)
        if not 0 <= level < len(variables.levels):
            raise BadRequest(f"there is no frame {frame} here")
        return At(variables, level)

    # Variables.

    def scopes(self, frame: int) -> list[dict[str, Any]]:
        """Return the scopes of a frame.

        Raises:
            BadRequest: See `at`.
        """
        at = self.at(frame)
        found = [
            ("Arguments", "arguments", lambda: self._items(at.variables.arguments(at.level)), False),
            ("Locals", "locals", lambda: self._items(at.variables.locals_(at.level)), False),
            ("Globals", "", lambda: self._global_items(at.variables), True),
            ("Registers", "registers", lambda: self._registers(at), False),
            ("Heap", "", self._heap, True),
        ]
        scopes = []
        for name, hint, items, is_expensive in found:
            scope: dict[str, Any] = {
                "name": name,
                "variablesReference": self._reference(_all(items)),
                "expensive": is_expensive,
            }
            if hint:
                scope["presentationHint"] = hint
            scopes.append(scope)
        return scopes

    def children(self, reference: int, start: int = 0, count: int | None = None) -> Iterator[Item]:
        """Yield what a reference opens into.

        Raises:
            BadRequest: There is no such reference.
        """
        if not 1 <= reference <= len(self._references):
            raise BadRequest(f"there is no variablesReference {reference} here")
        return self._references[reference - 1](start, count)

    def variable(self, item: Item) -> dict[str, Any]:
        """Return an item as a variable of the protocol."""
        found = {"name": item.name, "value": item.text, **self.result(item)}
        if item.expression:
            found["evaluateName"] = item.expression
        return found

    def result(self, item: Item) -> dict[str, Any]:
        """Return what a variable and the result of an expression have in common."""
        found: dict[str, Any] = {
            "variablesReference": 0 if item.children is None else self._reference(item.children)
        }
        if item.type:
            found["type"] = item.type
        if item.elements:
            found["indexedVariables"] = item.elements
        if item.address is not None:
            found["memoryReference"] = f"0x{item.address:08x}"
        if item.value is not None and not _can_be_set(item.value):
            found["presentationHint"] = {"attributes": ["readOnly"]}
        return found

    def item(self, name: str, value: Value, expression: str = "") -> Item:
        """Return a value as a line."""
        kind = value.type.kind
        address = value.address
        if kind is Kind.POINTER:
            try:
                address = value.number
            except Unavailable:
                address = None
        return Item(
            name,
            value.text(),
            value.type.name,
            self._parts(value, expression) if value.is_expandable else None,
            value.type.count or 0 if kind is Kind.ARRAY else 0,
            value,
            address,
            expression,
            size=value.type.size or 0,
        )

    def evaluated(self, text: str, at: At | None) -> Item:
        """Return the result of an expression.

        Raises:
            ValueError, Unavailable: It cannot be evaluated.
        """
        result = self.expression(text).result(self.names(at))
        if isinstance(result, Number):
            number = result.value
            shown = f"{number} (0x{number & (1 << 8 * result.size) - 1:x})"
            return Item(text, shown, address=number & 0xFFFF_FFFF)
        return self.item(text, result, text)

    def expression(self, text: str) -> Expression:
        """Return an expression that has been read.

        Raises:
            ValueError: It is none.
        """
        return Expression(text, self._globals.types)

    def names(self, at: At | None) -> NamesOfLevel:
        """Return what names in expressions mean in a frame; None: the innermost one of what runs."""
        variables, level = at or At(self.variables, 0)
        return NamesOfLevel(variables, self._debugger.image, level)

    def _reference(self, children: Callable[[int, int | None], Iterator[Item]]) -> int:
        self._references.append(children)
        return len(self._references)

    def _items(self, variables: list[Any]) -> Iterator[Item]:
        return (self.item(each.name, each.value, each.name) for each in variables)

    def _global_items(self, variables: Variables) -> Iterator[Item]:
        found = variables.globals_()
        for each, name in zip(found, distinct_names(found), strict=True):
            yield self.item(name, each.value, name if name == each.name else "")

    def _registers(self, at: At) -> Iterator[Item]:
        for name in REGISTERS:
            value = at.variables.register(name, at.level)
            text = "<not known in this frame>" if value is None else f"0x{value:08x}"
            yield Item(
                name, text, expression=f"${name}", register=name if at.is_innermost else "", address=value
            )
        for name, floating in at.variables.all_floating(at.level).items():
            yield self.item(name, floating, f"${name}")
        if at.is_innermost:
            registers = self._debugger.machine.registers()
            for name in _SYSTEM:
                yield Item(name, f"0x{getattr(registers, name):08x}", expression=f"${name}")

    def _parts(self, value: Value, expression: str) -> Callable[[int, int | None], Iterator[Item]]:
        def children(start: int, count: int | None) -> Iterator[Item]:
            is_array = value.type.kind is Kind.ARRAY
            parts = (
                value.children(start, count)
                if is_array
                else islice(value.children(), start, None if count is None else start + count)
            )
            for each in parts:
                yield self.item(each.name or "(unnamed)", each.value, _joined(expression, value, each.name))

        return children

    # The heap.

    def _heap(self) -> Iterator[Item]:
        profile = self._debugger.profile
        if not profile.functions:
            yield Item("no allocator is known", profile.reason)
            return
        trace = self._trace
        for area in trace.areas:
            blocks = trace.live(self._debugger.event, area)
            total = int(blocks.size.sum(dtype="uint64"))
            text = f"{counted(len(blocks.born), 'block')}, {counted(total, 'byte')}"
            yield Item(
                area,
                text,
                children=self._blocks(area) if len(blocks.born) else None,
                elements=len(blocks.born),
            )

    def _blocks(self, area: str) -> Callable[[int, int | None], Iterator[Item]]:
        def children(start: int, count: int | None) -> Iterator[Item]:
            blocks = self._trace.live(self._debugger.event, area)
            order = blocks.address.argsort(kind="stable")
            for row in order[start : None if count is None else start + count].tolist():
                yield self._block(
                    int(blocks.address[row]),
                    int(blocks.size[row]),
                    int(blocks.born[row]),
                    int(blocks.stack[row]),
                    int(blocks.born_call[row]),
                )

        return children

    def _block(self, address: int, size: int, born: int, stack: int, call: int) -> Item:
        frames = self._trace.frames(stack)
        owner = str(frames[0]) if frames else "an unknown caller"
        size_text = counted(size, "byte") if size else "of unknown size"
        function = self._trace[call].function

        def children(_start: int, _count: int | None) -> Iterator[Item]:
            yield Item("size", size_text)
            yield Item("event", str(born))
            yield Item("allocated by", function)
            for number, frame in enumerate(frames):
                yield Item(f"caller {number}", str(frame), address=frame.address or None)

        return Item(
            f"0x{address:08x}",
            f"{size_text}, {function} from {owner}",
            children=children,
            address=address,
            size=size,
        )

    @cached_property
    def _trace(self) -> LoggedTrace:
        return self._debugger.trace()


def _all(items: Callable[[], Iterator[Item]]) -> Callable[[int, int | None], Iterator[Item]]:
    return lambda start, count: islice(items(), start, None if count is None else start + count)


def _can_be_set(value: Value) -> bool:
    is_somewhere = value.storage.address(value.offset) is not None or value.storage.register
    return bool(is_somewhere) and value.is_scalar


def _joined(expression: str, value: Value, name: str) -> str:
    """Return the expression for a part; "": there is none."""
    if not expression or not name:
        return ""
    around = (
        expression
        if expression.isidentifier() or expression[-1] in ")]" or expression[0] not in "*&"
        else f"({expression})"
    )
    if name == "*":
        return f"*{around}"
    if name.startswith("["):
        return f"{around}{name}"
    return f"{around}{'->' if value.type.kind is Kind.POINTER else '.'}{name}"
