"""What the calls did to the blocks of one area, as the profile explains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from emulator.profile.model import Result, Role
from emulator.trace.blocks.sizes import asked_size, is_one_page
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from emulator.profile.model import Profile, TracedFunction
    from emulator.trace.columns import I64, U8, U32, Columns, Flags

_PAGE_BITS: Final = np.uint32(12)
ALL_POOLS: Final = -1

_FRAMES: Final = 1 << 20  # of a physical memory of 4 GiB
_LARGEST: Final = 0xFFFF_FFFF
NOWHERE: Final = 0xFFFF_FFFF
"""An address at which no block can be; what a call wanted to give back that cannot be memory is there."""

_MAKES, _SHARES, _CHANGES = 1, 2, 4
_BITS: Final = {
    Role.ALLOC: _MAKES | _CHANGES,
    Role.REALLOC: _MAKES | _CHANGES,
    Role.SHARE: _SHARES | _CHANGES,
    Role.FREE: _CHANGES,
    Role.RESET: _CHANGES,
    Role.OTHER: 0,
}


class Operations(NamedTuple):
    """Operations of one kind.

    Attributes:
        rows: Of the calls.
        address: Of the block.
        size: Bytes; 0 where the call does not say: of a block that is given back, the whole block.
        pool: Of the block; `ALL_POOLS` where the call does not say.
        nested: It is a part of another operation on this area.
    """

    rows: I64
    address: U32
    size: U32
    pool: I64
    nested: Flags

    def where(self, chosen: Flags) -> Operations:
        """Return the operations for which *chosen* is true."""
        if chosen.all():
            return self
        rows, address, size, pool, nested = self
        return Operations(rows[chosen], address[chosen], size[chosen], pool[chosen], nested[chosen])


class AreaOperations(NamedTuple):
    """All operations on the blocks of one area.

    Attributes:
        births: Blocks that were made, by the outermost call that made them.
        deaths: Blocks that were given back.
        shares: Blocks that were given one more owner.
        resets: All blocks, or those of a pool, were forgotten.
        failed: Calls that should have made a block and did not.
    """

    births: Operations
    deaths: Operations
    shares: Operations
    resets: Operations
    failed: Operations


def area_operations(columns: Columns, profile: Profile, area: str) -> AreaOperations:
    """Find all operations on one area; those of one function are in order."""
    inherited = _inherited(columns, profile, area)
    found: dict[str, list[Operations]] = {name: [] for name in AreaOperations._fields}
    for code, function in enumerate(profile.functions):
        if function.area == area and function.role is not Role.OTHER:
            rows = np.flatnonzero(columns.function == code)
            if not len(rows):  # its columns need not be put together
                continue
            calls = _Calls(columns, function, pages=profile.pages(area), rows=rows, around=inherited[rows])
            for name, operations in calls.operations().items():
                found[name].append(operations)
    return AreaOperations(*(_joined(parts) for parts in found.values()))


class _Calls:
    """All calls of one function."""

    def __init__(
        self, columns: Columns, function: TracedFunction, *, pages: bool, rows: I64, around: U8
    ) -> None:
        self._columns = columns
        self._function = function
        self._pages = pages
        self._rows = rows
        self._around = around

    def operations(self) -> dict[str, Operations]:
        """Return what they did, by the fields of `AreaOperations`."""
        role = self._function.role
        if role is Role.ALLOC:
            return self._made()
        if role is Role.REALLOC:
            return self._moved()
        if role is Role.FREE:
            return {"deaths": self._given().where(~self._refused() & self._means_something())}
        if role is Role.SHARE:
            outermost = (self._around & (_MAKES | _SHARES)) == 0
            chosen = ~self._refused() & self._returned() & outermost
            return {"shares": self._given().where(chosen & self._means_something())}
        return {"resets": self._all(np.zeros(len(self._rows), np.uint32)).where(~self._refused())}

    def _made(self) -> dict[str, Operations]:
        address, good = self._place()
        calls = self._all(address)
        counts = self._returned() & ((self._around & _MAKES) == 0)
        return {"births": calls.where(counts & good), "failed": calls.where(counts & ~good)}

    def _moved(self) -> dict[str, Operations]:
        """Explain realloc: it frees, unless it fails. To ask for no bytes is to free."""
        operations = self._made()
        _, freed = self._place()
        if self._may_be_empty():
            freed |= self._size() == 0
            operations["failed"] = operations["failed"].where(operations["failed"].size != 0)
        freed &= self._returned() & self._means_something()
        old = self._given()
        return operations | {"deaths": old._replace(size=np.zeros_like(old.size)).where(freed)}

    def _all(self, address: U32) -> Operations:
        pool = (
            self._word("pool").astype(np.int64)
            if "pool" in self._function.parameters
            else np.full(len(self._rows), ALL_POOLS)
        )
        return Operations(self._rows, address, self._size(), pool, (self._around & _CHANGES) != 0)

    def _given(self) -> Operations:
        """Return the operations on blocks that the calls name."""
        if "ptr" in self._function.parameters:
            return self._all(self._word("ptr"))
        frame = self._word("frame")
        return self._all(np.where(frame < _FRAMES, frame << _PAGE_BITS, np.uint32(NOWHERE)))

    def _place(self) -> tuple[U32, Flags]:
        """Return where the new blocks are, and which calls succeeded."""
        function, result = self._function, self._columns.result[self._rows]
        good: Flags
        if function.out is not None:
            address = self._columns.out[self._rows]
            good = result == 0 if function.result is Result.ERROR else address != 0
        else:
            address = result
            good = np.ones(len(result), np.bool_) if function.failure is None else result != function.failure
        if function.result is Result.FRAME:
            return address << _PAGE_BITS, good & (address < _FRAMES)
        return address, good & (address != NOWHERE)

    def _means_something(self) -> Flags:
        """Tell which calls name a block: not a null pointer, nor a run of no pages."""
        names = self._function.parameters
        named = np.ones(len(self._rows), np.bool_)
        if "ptr" in names:
            named &= self._word("ptr") != 0
        if self._pages and self._function.role is not Role.REALLOC and self._may_be_empty():
            named &= self._size() != 0
        return named

    def _may_be_empty(self) -> bool:
        """Tell whether the parameters can ask for no bytes."""
        return "size" in self._function.parameters or "pages" in self._function.parameters

    def _returned(self) -> Flags:
        returned: Flags = self._columns.left[self._rows] != 0
        return returned

    def _refused(self) -> Flags:
        if self._function.result is not Result.ERROR:
            return np.zeros(len(self._rows), np.bool_)
        refused: Flags = self._returned() & (self._columns.result[self._rows] != 0)
        return refused

    def _word(self, parameter: str) -> U32:
        return self._columns.argument(self._function.parameters.index(parameter))[self._rows]

    def _size(self) -> U32:
        asked = asked_size(self._function, self._word)
        if asked is not None:
            return asked
        return np.full(len(self._rows), PAGE_SIZE if is_one_page(self._function) else 0, np.uint32)


def _inherited(columns: Columns, profile: Profile, area: str) -> U8:
    """Return for each call what the calls around it do to the area, as bits."""
    bits = np.zeros(128, np.uint8)  # by function code
    for code, function in enumerate(profile.functions):
        bits[code] = _BITS[function.role] if function.area == area else 0
    count = len(columns)
    result = np.zeros(count + 1, np.uint8)  # by call number; 0 is outside all calls
    active = np.flatnonzero(columns.parent) + 1
    if not len(active):
        return result[1:]
    around = np.zeros(count + 1, np.uint32)
    around[1:] = columns.parent
    result[active] = bits[columns.function[around[active] - 1]]
    while len(active):  # each round looks twice as far out
        outer = around[active]
        result[active] |= result[outer]
        around[active] = around[outer]
        active = active[around[active] != 0]
    return result[1:]


def _joined(parts: list[Operations]) -> Operations:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        none = np.empty(0, np.int64)
        return Operations(none, none.astype(np.uint32), none.astype(np.uint32), none, none.astype(np.bool_))
    return Operations(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
