"""A port through which blocks of bytes pass without asking Python for each access."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib

if TYPE_CHECKING:
    from emulator.machine.core.handle import Core


class CoreDataPort:
    """The bytes that pass through a port; see `emulator.devices.device.DataPort`.

    Args:
        core: Moves them.
        port: Where.

    Attributes:
        buffer: What passes.

    Raises:
        HostError: There are too many such ports, or no memory left.
    """

    __slots__ = ("_block", "_core", "buffer")

    def __init__(self, core: Core, port: int) -> None:
        self._core = core  # owns the block
        self._block = lib.kc_data_port_add(core.raw, port)
        if self._block == ffi.NULL:
            raise HostError(f"cannot make a data port of port 0x{port:x}")
        self.buffer = memoryview(ffi.buffer(self._block.buffer))

    @property
    def position(self) -> int:
        """Where the next access begins."""
        return int(self._block.position)

    @position.setter
    def position(self, value: int) -> None:
        self._block.position = value

    @property
    def end(self) -> int:
        """Where the block ends."""
        return int(self._block.end)

    @end.setter
    def end(self, value: int) -> None:
        self._block.end = value

    @property
    def to_guest(self) -> bool:
        """Whether the guest reads the bytes; else it writes them."""
        return bool(self._block.to_guest)

    @to_guest.setter
    def to_guest(self, value: bool) -> None:
        self._block.to_guest = value
