"""Memory of a graphics adapter: the frame buffer, and what of it lies at 0xA0000."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.errors import HostError
from emulator.machine.core.handle import ffi, lib

if TYPE_CHECKING:
    from emulator.devices.device import Planes
    from emulator.machine.core.handle import Core


class CoreVideoMemory:
    """The frame buffer of a machine; see `emulator.devices.device.VideoMemory`.

    Args:
        core: Keeps it.
        size: In bytes.
    """

    def __init__(self, core: Core, size: int) -> None:
        self._core, self._size = core, size
        self._bytes: memoryview | None = None

    def __len__(self) -> int:
        return self._size

    def view(self) -> memoryview:
        """Return all of it, to be read and written."""
        if self._bytes is None:
            memory = lib.kc_video_memory(self._core.raw)
            if memory == ffi.NULL:
                raise HostError(f"the host has no memory for a frame buffer of {self._size} bytes")
            self._bytes = memoryview(ffi.buffer(memory, self._size)).cast("B")
        return self._bytes

    def clear(self, size: int) -> None:
        """Make its first bytes zero, so many."""
        lib.kc_video_clear(self._core.raw, size)

    def show_ram(self) -> None:
        """Let RAM lie at 0xA0000."""
        self._show(lib.KC_WINDOW_RAM, 0)

    def show_part(self, offset: int) -> None:
        """Let 64 KiB of the frame buffer lie at 0xA0000."""
        self._show(lib.KC_WINDOW_LINEAR, offset)

    def show_planes(self, planes: Planes, offset: int) -> None:
        """Let the four planes of the frame buffer lie at 0xA0000."""
        lib.kc_video_planes(self._core.raw, [planes])
        self._show(lib.KC_WINDOW_PLANES, offset)

    def _show(self, kind: int, offset: int) -> None:
        if lib.kc_video_window(self._core.raw, kind, offset):
            raise HostError("the host has no memory for what a VGA shows at 0xa0000")
