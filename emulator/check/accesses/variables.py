"""Names the variables beside which memory was accessed.

Of code that was compiled with KASAN the compiler describes those of each function on the stack, in a string, and static ones in arrays
(`emulator.loader.kasan`). What lies below a return address DWARF says.

Source: ``asan_emit_stack_protection`` of GCC 12's asan.cc, ``ComputeASanStackFrameDescription`` of Clang 14.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from emulator.loader.dwarf.frame_variables import FrameVariables
from emulator.machine.core.observed import Poison
from emulator.x86 import WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from emulator.machine.core.observed import BadAccess
    from emulator.machine.machine import Machine

_NO_NAMES: Final = ("*.LC", "<string literal>", ".str")
_STRING: Final = "a string constant"
_LONGEST: Final = 1 << 14  # bytes of a description


class Variable(NamedTuple):
    """A variable.

    Attributes:
        name: As in the source.
        address: Linear, of its first byte.
        size: Bytes; 0: not known.
        place: Where it is, for people: ``in a frame of copy_name``, ``static, in names.c``.
    """

    name: str
    address: int
    size: int
    place: str


class Variables:
    """The variables of one kernel.

    Args:
        machine: The machine that ran; its memory still holds the constants.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._frames = FrameVariables(machine.image.units)

    def of(self, access: BadAccess) -> Variable | None:
        """Return the variable nearest to the first byte that may not be accessed; None: it is none's, or not known."""
        bad = access.linear + access.offset
        if access.poison is Poison.GLOBAL:
            return _nearest(self._static, bad)
        if access.poison in (Poison.STACK, Poison.SCOPE) and access.frame:
            return _nearest(self._of_frame(access), bad)
        return self._below_return(access) if access.poison is Poison.RETURN else None

    def _below_return(self, access: BadAccess) -> Variable | None:
        """Return the array or struct that lies next below a return address, in the frame that this belongs to."""
        image = self._machine.image
        owner = image.location(access.owner)
        place = f"in a frame of {owner.function}"
        return max(
            (
                Variable(each.name, access.frame + WORD_SIZE + each.offset, each.size, place)
                for each in self._frames.of(image.linked(owner.address - owner.offset))
                if each.offset + each.size <= -WORD_SIZE
            ),
            key=lambda each: each.address,
            default=None,
        )

    @cached_property
    def _static(self) -> list[Variable]:
        from emulator.loader.kasan import static_variables  # few kernels were compiled so

        return [
            Variable(
                _STRING if each.name.startswith(_NO_NAMES) else each.name,
                each.address,
                each.size,
                f"static, in {each.file}",
            )
            for each in static_variables(self._machine.image).known
        ]

    def _of_frame(self, access: BadAccess) -> list[Variable]:
        text = (
            self._machine.read_linear(access.variables, _LONGEST).partition(b"\0")[0].decode(errors="replace")
        )
        function = self._machine.image.location(access.owner).function
        place = f"in a frame of {function or f'0x{access.owner:08x}'}"
        return [Variable(name, access.frame + offset, size, place) for offset, size, name in _described(text)]


def _described(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield offset, size and name of the variables of a frame: ``2 48 4 3 x:4 64 16 5 buf:4`` has two, declared in line 4.

    A name's length is written in front of it. Nothing is yielded of a text that is none.
    """
    count, _, rest = text.partition(" ")
    found = []
    for _ in range(int(count) if count.isdecimal() else 0):
        words = rest.split(" ", 3)
        if len(words) < 4 or not all(word.isdecimal() for word in words[:3]):  # noqa: PLR2004 - offset, size, length, the rest
            return
        offset, size, length = map(int, words[:3])
        name, rest = words[3][:length], words[3][length:].removeprefix(" ")
        found.append((offset, size, name.partition(":")[0]))
    yield from found


def _nearest(variables: Iterable[Variable], address: int) -> Variable | None:
    def distance(variable: Variable) -> int:
        if address < variable.address:
            return variable.address - address
        return max(0, address - (variable.address + variable.size) + 1)

    return min(variables, key=distance, default=None)
