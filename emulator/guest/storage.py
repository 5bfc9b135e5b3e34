"""Where a value lies: in the guest's memory, or in pieces, in registers and in memory, as optimised code keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BITS = 8


class Unavailable(Exception):
    """A value is not to be had; the text says why: ``optimised out``."""


class Storage(Protocol):
    """The bytes of a value."""

    def read(self, offset: int, size: int) -> bytes:
        """Return some of them.

        Raises:
            Unavailable: Not all are known.
        """

    def bits(self, first: int, count: int) -> int:
        """Return some bits, of which the first one is the lowest; what lies beside them need not be known.

        Raises:
            Unavailable: Not all are known.
        """

    def address(self, offset: int) -> int | None:
        """Return the address of one of them, as the kernel writes it; None: it is not in memory."""

    @property
    def register(self) -> str:
        """The register that the value is in as a whole; "": it is in none."""


class _InBytes:
    """A value of which bytes are read as a whole."""

    def read(self, offset: int, size: int) -> bytes:
        """See `Storage`."""
        raise NotImplementedError

    def bits(self, first: int, count: int) -> int:
        """See `Storage`."""
        byte, shift = divmod(first, _BITS)
        data = self.read(byte, (shift + count + _BITS - 1) // _BITS)
        return int.from_bytes(data, "little") >> shift & (1 << count) - 1


class InMemory(_InBytes):
    """A value that lies in memory.

    Args:
        read: Returns bytes at an address, fewer where nothing is mapped.
        start: Its address.
    """

    register = ""

    def __init__(self, read: Callable[[int, int], bytes], start: int) -> None:
        self._read = read
        self._start = start

    def read(self, offset: int, size: int) -> bytes:
        """See `Storage`."""
        data = self._read(self._start + offset, size)
        if len(data) < size:
            raise Unavailable(f"nothing is mapped at 0x{self._start + offset + len(data):08x}")
        return data

    def address(self, offset: int) -> int | None:
        """See `Storage`."""
        return self._start + offset & 0xFFFF_FFFF


class Piece(NamedTuple):
    """A part of a value.

    Attributes:
        size_bits: How many bits.
        storage: Where it is; None: it is not to be had.
        skipped_bits: Bits in front of it there.
        problem: Why it is not to be had.
    """

    size_bits: int
    storage: Storage | None
    skipped_bits: int = 0
    problem: str = ""


class InPieces:
    """A value that is put together.

    Args:
        pieces: Its parts, from the lowest bit on.
    """

    register = ""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces

    def read(self, offset: int, size: int) -> bytes:
        """See `Storage`."""
        return self.bits(offset * _BITS, size * _BITS).to_bytes(size, "little")

    def bits(self, first: int, count: int) -> int:
        """See `Storage`."""
        value, start, end = 0, 0, first + count
        for piece in self._pieces:
            low, high = max(first, start), min(end, start + piece.size_bits)
            if low < high:
                value |= _bits(piece, low - start, high - low) << low - first
            start += piece.size_bits
        if start < end:
            raise Unavailable("its debug information has no place for all of it")
        return value

    def address(self, offset: int) -> int | None:
        """See `Storage`."""
        start = 0
        for piece in self._pieces:
            inside = offset * _BITS - start + piece.skipped_bits
            if start <= offset * _BITS < start + piece.size_bits and not inside % _BITS and piece.storage:
                return piece.storage.address(inside // _BITS)
            start += piece.size_bits
        return None


def _bits(piece: Piece, first: int, count: int) -> int:
    if piece.storage is None:
        raise Unavailable(piece.problem)
    return piece.storage.bits(first + piece.skipped_bits, count)


class Known(_InBytes):
    """A value whose bytes are known, as those of a register are, or of a constant.

    Args:
        data: The bytes.
        register: The register that they are in; "": none.
    """

    def __init__(self, data: bytes, register: str = "") -> None:
        self._data = data
        self.register = register

    def read(self, offset: int, size: int) -> bytes:
        """See `Storage`."""
        if offset + size > len(self._data):
            raise Unavailable(f"only {len(self._data)} bytes of it are known")
        return self._data[offset : offset + size]

    def address(self, offset: int) -> None:
        """See `Storage`."""


class Nowhere(_InBytes):
    """A value that is not to be had.

    Args:
        problem: Why.
    """

    register = ""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    def read(self, offset: int, size: int) -> bytes:
        """See `Storage`."""
        del offset, size
        raise Unavailable(self._problem)

    def address(self, offset: int) -> None:
        """See `Storage`."""


class OnFpuStack(Nowhere):
    """A value that is said to be in a register of the FPU, of which that is not sure: compilers do not follow its stack.

    Args:
        name: Of the register: ``st0``.
        number: What it holds, 80 bits.
    """

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"it is in {name}, where compilers lose sight of it")
        self.name = name
        self.number = number
