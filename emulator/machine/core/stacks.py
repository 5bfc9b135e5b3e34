"""Call stacks of the guest, as the core unwinds and numbers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.handle import Core


FRAMES_MAX: Final = lib.KC_FRAMES
"""Frames of a backtrace that are kept; those outside of them are left out."""


class Callers(NamedTuple):
    """The calls around an instruction, innermost first.

    Attributes:
        return_addresses: Where they go on; of an interrupt, the address of the interrupted instruction + 1. The last is
            0 where more calls may be around them.
        slots: Where the return addresses lie, as offsets in the stack segment.
        end: Where the outermost frame ends, as an offset in the stack segment; None: not known.
    """

    return_addresses: tuple[int, ...]
    slots: tuple[int, ...]
    end: int | None


class Stacks:
    """The call stacks that the core has met.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def set_unwind_rules(self, rules: bytes, code: Sequence[tuple[int, int]]) -> None:
        """Say how call stacks are unwound.

        Args:
            rules: Packed `kc_rule`, ascending; where there is none, frame pointers are followed.
            code: Ranges of addresses that hold code, 16 at most.
        """
        ranges = ffi.new("uint32_t[]", [bound for each in code for bound in each])
        packed = ffi.from_buffer("kc_rule[]", rules)
        if lib.kc_unwind(self._core.raw, packed, len(packed), ranges, len(code)):
            raise HostError(f"cannot take {len(packed)} unwind rules and {len(code)} ranges of code")

    def set_functions(self, extents: bytes, entry: int) -> None:
        """Say where the kernel's functions are.

        Args:
            extents: Packed `kc_extent`, ascending.
            entry: An address in the one that the kernel begins with.
        """
        packed = ffi.from_buffer("kc_extent[]", extents)
        if lib.kc_functions(self._core.raw, packed, len(packed), entry):
            raise HostError(f"cannot take {len(packed)} functions")

    def __len__(self) -> int:
        count: int = lib.kc_stack_count(self._core.raw)
        return count

    def stack(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Return the first call that had a stack, and its return addresses as in `Callers`.

        Args:
            number: Of the stack, from 1.
        """
        count, call = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        words = lib.kc_stack(self._core.raw, number, count, call)
        return call[0], tuple(ffi.unpack(words, count[0]))

    def callers(self, eip: int) -> Callers:
        """Return the calls around an instruction, with ESP and EBP as they are; between runs."""
        found = ffi.new("kc_callers *")
        lib.kc_callers_of(self._core.raw, eip, found)
        return _callers(found)

    def callers_of_call(self, esp: int, ebp: int) -> Callers:
        """Return a call whose return address lies at *esp*, and the calls around it; *ebp* is its caller's."""
        found = ffi.new("kc_callers *")
        lib.kc_callers_of_call(self._core.raw, esp, ebp, found)
        return _callers(found)


def _callers(found: Any) -> Callers:
    return_addresses, slots = (
        tuple(ffi.unpack(words, found.count)) for words in (found.return_addresses, found.slots)
    )
    return Callers(return_addresses, slots, found.end or None)
