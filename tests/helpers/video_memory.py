"""The frame buffer of a graphics adapter, for tests of its registers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emulator.devices.device import Planes


class FakeVideoMemory:
    """Memory of 1 MiB.

    Attributes:
        shown: What the CPU finds at 0xA0000, in order of what it was told: its name, its offset, its planes.
    """

    def __init__(self) -> None:
        self._bytes = bytearray(1 << 20)
        self.shown: list[tuple[str, int, Planes | None]] = []

    def __len__(self) -> int:
        return len(self._bytes)

    def view(self) -> memoryview:
        """Return all of it."""
        return memoryview(self._bytes)

    def clear(self, size: int) -> None:
        """Make its first bytes zero."""
        self._bytes[:size] = bytes(size)

    def show_ram(self) -> None:
        """Note it."""
        self.shown.append(("ram", 0, None))

    def show_part(self, offset: int) -> None:
        """Note it."""
        self.shown.append(("part", offset, None))

    def show_planes(self, planes: Planes, offset: int) -> None:
        """Note it."""
        self.shown.append(("planes", offset, planes))
