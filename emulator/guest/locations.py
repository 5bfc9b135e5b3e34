"""Find variables of a stopped machine by what DWARF says of their locations.

Source: DWARF 5, section 2.6.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final

from emulator.guest.evaluation import DAMAGED, OPTIMISED_OUT, Evaluation
from emulator.guest.storage import Known, Nowhere, Unavailable
from emulator.loader.dwarf.call_sites import CallSites
from emulator.loader.dwarf.debug_info import DAMAGE
from emulator.loader.dwarf.locations import located, parse_expression
from emulator.loader.dwarf.value_types import ValueType, bound_of
from emulator.x86 import WORD_MAX, WORD_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elftools.dwarf.dwarf_expr import DWARFExprOp

    from emulator.guest.frame_registers import FrameRegisters
    from emulator.guest.storage import Storage
    from emulator.loader.dwarf.entries import Entry
    from emulator.loader.dwarf.locations import Located
    from emulator.loader.image import KernelImage
    from emulator.machine.core.core_types import FpuRegisters

_PARAMETER: Final = "DW_TAG_formal_parameter"


class Places:
    """Says where the variables of one stopped machine are.

    Args:
        image: Of its kernel.
        innermost: The frame at EIP.
        frames: Returns its whole stack, which takes time.
        read: Returns memory at an address as the kernel writes it, fewer bytes where nothing is mapped.
        fpu: Returns the registers of the FPU and of SSE.
        is_running: Whether the innermost frame's registers are those of the CPU, which can be set.
    """

    def __init__(
        self,
        image: KernelImage,
        innermost: FrameRegisters,
        frames: Callable[[], Sequence[FrameRegisters]],
        read: Callable[[int, int], bytes],
        fpu: Callable[[], FpuRegisters],
        is_running: bool = True,  # noqa: FBT001, FBT002 - the last of several
    ) -> None:
        self.image = image
        self.is_running = is_running
        self.fpu = fpu
        self._innermost = innermost
        self._frames = frames
        self.read = read
        self.call_sites = CallSites(image.units)

    @cached_property
    def frames(self) -> Sequence[FrameRegisters]:
        """The whole stack."""
        return self._frames()

    def frame(self, number: int) -> FrameRegisters:
        """Return a frame; of the innermost one its return address need not be known."""
        if number or self._innermost.frame_address is None:
            return self.frames[number]
        return self._innermost

    def storage(self, entry: Entry | None, size: int | None, frame: int | None) -> Storage:
        """Return where a variable or parameter lies.

        Args:
            entry: Its entry; None: the compiler has left it out.
            size: Bytes of it; None: not known.
            frame: In which of the frames; None: in none, it is a global one.
        """
        if entry is None:
            return Nowhere(OPTIMISED_OUT)
        try:
            return self._storage(entry, size, frame)
        except Unavailable as error:
            return Nowhere(str(error))
        except DAMAGE:
            return Nowhere(DAMAGED)

    def length(self, subrange: Entry, entry: Entry | None, frame: int | None) -> int | None:
        """Return the length of a dimension of an array that is computed when the array is made; None: it is not known.

        Args:
            subrange: The entry of the dimension.
            entry: Of the array; None: the compiler has left it out.
            frame: See `storage`.
        """
        bound = bound_of(subrange)
        if entry is None or bound is None:
            return None
        attribute, more = bound
        try:
            value = subrange.attributes[attribute]
            if value.is_reference:
                last = self._length_in(subrange.referred(attribute), frame)
            elif not isinstance(value.value, int):
                last = Evaluation(self, entry, frame).value(parse_expression(subrange, value.value))
            else:
                return None
        except Unavailable:
            return None
        except DAMAGE:
            return None
        return max((last if last <= WORD_MAX >> 1 else last - WORD_MAX - 1) + more, 0)

    def _length_in(self, variable: Entry, frame: int | None) -> int:
        """Return the value of a variable that the compiler has made for a length."""
        size = ValueType(self.image.units, variable).size or WORD_SIZE
        return int.from_bytes(self._storage(variable, size, frame).read(0, size)[:WORD_SIZE], "little")

    def _storage(self, entry: Entry, size: int | None, frame: int | None) -> Storage:
        constant = entry.attributes.get("DW_AT_const_value")
        if constant is not None:
            value = constant.value
            data = (
                value.to_bytes(max(size or 0, 8), "little", signed=value < 0)
                if isinstance(value, int)
                else bytes(value)
            )
            return Known(data if size is None else data[:size])
        operations = self.holding(entry, "DW_AT_location", frame)
        storage = Evaluation(self, entry, frame).storage(operations, size)
        if entry.tag == _PARAMETER and frame is not None and self._is_awaited(entry, storage, frame):
            raise Unavailable("not stored yet: the function has just been entered")
        return storage

    def _is_awaited(self, entry: Entry, storage: Storage, frame: int) -> bool:
        """Return whether a parameter has one place all the time that its function has not filled yet, as without optimisation."""
        address, here = storage.address(0), self.frame(frame)
        if (
            address is None
            or here.frame_address is None
            or any(each.end for each in _located(entry, "DW_AT_location"))
        ):
            return False
        if here.frame_address - address - 1 & WORD_MAX > WORD_MAX >> 1:  # the caller has put it there
            return False
        linked = self.image.linked(here.address)
        extent = self.image.function_extent(linked)
        end = None if extent is None else self.image.prologue_end(extent.start)
        return end is not None and linked < end

    def holding(self, entry: Entry, attribute: str, frame: int | None) -> Sequence[DWARFExprOp]:
        """Return the expression of an attribute that holds where a frame stands.

        Raises:
            Unavailable: None does.
            Exception: One of `DAMAGE`.
        """
        address = 0 if frame is None else self.image.linked(self.frame(frame).address)
        for each in _located(entry, attribute):
            if not each.end or each.start <= address < each.end:
                return each.operations
        raise Unavailable(OPTIMISED_OUT)


@lru_cache(maxsize=1024)
def _located(entry: Entry, attribute: str) -> tuple[Located, ...]:
    """Return the locations that an attribute names; a condition asks for the same at each hit."""
    return tuple(located(entry, attribute))
