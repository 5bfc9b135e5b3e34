"""Write calls as lines of text, one each, in the manner of strace, and the instructions in them.

::

    #17  kmalloc(128) = 0x0010a008                     kmain+0x42 demo.c:31
         0x00105a10  push ebp                              [0x0010b0ec] <- 0x0010b108   kmalloc+0x0 heap.c:170
         0x00105a13  mov eax, dword ptr [ebp + 8]          [0x0010b0f4] -> 0x00000080

Lines come in the order in which the calls were entered; the calls that a call makes stand below it, indented.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from emulator.profile.functions import Result
from emulator.report.text.frames import frame_text_after
from emulator.report.text.style import BOLD, DIM, RED
from emulator.wording import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from emulator.guest.executed import Access, ExecutedInstruction
    from emulator.guest.symbolizer import Frame
    from emulator.profile.functions import TracedFunction
    from emulator.report.text.style import Style
    from emulator.trace.table import Call, Flags
    from emulator.trace.trace import Trace

BYTES_AND_COUNTS = ("size", "count", "pages", "order", "align")
"""Parameters that are numbers, not addresses."""

UNKNOWN = "?"
"""An argument that cannot be known."""

_ADDRESSES = ("ptr", "out", "address")
_DECIMAL_MAX = 0xFFFF  # what is larger and has no known meaning is more likely an address than a count
_INDENT = 2
_TEXT_MIN, _TEXT_MAX = 24, 46  # columns for the call itself
_MARGIN = "     "
_INSTRUCTION_WIDTH = 38
_ACCESS_WIDTH = 28

_Pieces = list[tuple[str, str]]  # text, and the colour or weight to paint it with


class ResultText(NamedTuple):
    """What a call returned, for people.

    Attributes:
        text: The result, such as ``0x0010a008``; "" for a function without one.
        failed: Whether it is to stand out.
    """

    text: str
    failed: bool = False


def argument_text(parameter: str, value: int) -> str:
    """Return an argument: sizes and counts decimal, addresses and frames hexadecimal."""
    if parameter in BYTES_AND_COUNTS:
        return str(value)
    if parameter in _ADDRESSES:
        return _address_text(value)
    if parameter == "frame":
        return f"0x{value:x}"
    return str(value) if value <= _DECIMAL_MAX else f"0x{value:08x}"


def _address_text(address: int) -> str:
    """Return ``0x0010a008``, or ``0``."""
    return f"0x{address:08x}" if address else "0"


def argument_texts(function: TracedFunction, values: Sequence[int], out: int | None) -> list[str]:
    """Return all arguments of a call, ``?`` for those that cannot be known, and the values computed from them with their names.

    Args:
        function: What was called.
        values: The words on the stack; those beyond its parameters are left out.
        out: The word that was stored where ``out`` points, to be shown instead: ``[0x0010a008]``. None if none was.
    """
    texts = [argument_text(*each) for each in zip(function.parameters, values, strict=False)]
    for index, parameter in enumerate(function.parameters[: len(texts)]):
        if parameter in function.unknown:
            texts[index] = UNKNOWN
        if index >= function.argument_count:
            texts[index] = f"{parameter}={texts[index]}"
    if function.out is not None and out is not None:
        texts[function.out] = f"[{_address_text(out)}]"
    return texts


def result_text(
    function: TracedFunction, value: int | None, out: int | None, errors: Mapping[int, str]
) -> ResultText:
    """Return what a call returned, and whether it failed.

    Args:
        function: What was called.
        value: EAX, unsigned; None if the call did not return.
        out: The block that it made, where the profile computes it.
        errors: Names of error numbers, see `Trace.error_names`.
    """
    if value is None:
        return ResultText("?  (did not return)", failed=True)
    if function.result is Result.ERROR:
        return ResultText(errors.get(value, str(_signed(value))), failed=value != 0)
    if function.answers_no_block(value):
        number = "0" if value == 0 else f"0x{value:08x}"
        return ResultText(f"{number} (no block)", failed=function.role.makes_block)
    return ResultText(_good_text(function.result, out if function.block and out is not None else value))


def _good_text(result: Result, value: int) -> str:
    match result:
        case Result.POINTER:
            return _address_text(value)
        case Result.FRAME:
            return f"0x{value:x}"
        case Result.NONE:
            return ""
        case _:
            return argument_text("", value)


def _signed(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


class CallLayout:
    """Lays calls out in columns. Only where a call comes from may be cut, and only on a terminal.

    Args:
        functions: The recorded functions by name.
        frames: Returns the backtrace with a number.
        last: The largest number of a call that is laid out.
        style: What the output can show.
        errors: Names of error numbers, see `Trace.error_names`.
    """

    def __init__(
        self,
        functions: Mapping[str, TracedFunction],
        frames: Callable[[int], Sequence[Frame]],
        last: int,
        style: Style,
        errors: Mapping[int, str],
    ) -> None:
        self._functions = functions
        self._frames = frames
        self._style = style
        self._errors = errors
        self._number_width = len(f"#{last}") + 2
        room = style.width - self._number_width
        self._text_width = min(max(room * 3 // 5, _TEXT_MIN), _TEXT_MAX)

    def line(self, call: Call) -> str:
        """Return the line of one call."""
        pieces = self._call(call)
        width = sum(len(text) for text, _ in pieces)
        start = self._number_width + max(self._text_width, width) + 1
        frames = self._frames(call.stack)
        location = frame_text_after(frames[0], start, self._style) if frames else ""
        number = f"#{call.number}".ljust(self._number_width)
        rest = " " * max(self._text_width - width, 0) + " " + location
        painted = (self._style.paint(*piece) for piece in [(number, ""), *pieces, (rest, "")])
        return "".join(painted).rstrip()

    def _call(self, call: Call) -> _Pieces:
        function = self._functions[call.function]
        indent = min(call.depth * _INDENT, self._text_width // 2)
        result = result_text(function, call.result, call.out, self._errors)
        equals = f" = {result.text}" if result.text else ""
        arguments = ", ".join(argument_texts(function, call.arguments, None if call.result else call.out))
        return [
            (" " * indent, ""),
            (printable(call.function), BOLD),
            (f"({arguments})", ""),
            (equals, RED if result.failed else ""),
        ]


def call_layout(trace: Trace, style: Style) -> CallLayout:
    """Return the layout for the calls of a trace."""
    return CallLayout(
        {function.name: function for function in trace.functions},
        cache(trace.frames),
        len(trace),
        style,
        trace.error_names,
    )


def call_lines(trace: Trace, mask: Flags, style: Style) -> Iterator[str]:
    """Yield a line for each call of a trace for which *mask*, which has a flag for each call, is true."""
    return map(call_layout(trace, style).line, trace.calls.chosen(mask))


def instruction_lines(instructions: Iterable[ExecutedInstruction], style: Style) -> Iterator[str]:
    """Yield a line for each instruction, and one more for each further access."""
    for each in instructions:
        first, *others = [_access_text(access) for access in each.accesses] or [""]
        head = f"{_MARGIN}0x{each.address:08x}  {each.text:{_INSTRUCTION_WIDTH}}"
        line = f"{head} {first:{_ACCESS_WIDTH}} {printable(each.location)}".rstrip()
        yield style.paint(line, DIM)
        for text in others:
            yield style.paint(f"{'':{len(head)}} {text}", DIM)


def _access_text(access: Access) -> str:
    """Return ``[0x0010b0f4] -> 0x00000080`` for a load, with ``<-`` for a store."""
    value = access.value & (1 << 8 * access.size) - 1
    return f"[0x{access.address:08x}] {'<-' if access.is_store else '->'} 0x{value:0{2 * access.size}x}"
