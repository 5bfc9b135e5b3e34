"""What a device is to the machine: some I/O ports, and a state that snapshots keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class FastPort(NamedTuple):
    """What the native core may do at a port, for one-byte accesses, without asking the device.

    Attributes:
        sink: A byte written is console output and has no other effect.
        ignores: A byte written has no effect.
        constant: A read gives this byte and has no effect; None: reads must ask.
        clock_hz: A read of any size gives the virtual time in clocks of this frequency, of which there are 24 bits; None: it does not.
        until_ns: From this virtual time on, such a read asks the device nevertheless; None: never.
    """

    sink: bool = False
    ignores: bool = False
    constant: int | None = None
    clock_hz: int | None = None
    until_ns: int | None = None


class Device(Protocol):
    """A device on the I/O bus."""

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports it answers at; they never change."""

    def read_port(self, port: int, size: int) -> int:
        """Answer `in`.

        Args:
            port: One of `ports`, where the access begins.
            size: 1, 2 or 4 bytes.
        """

    def write_port(self, port: int, size: int, value: int) -> None:
        """Take `out`.

        Args:
            port: One of `ports`, where the access begins.
            size: 1, 2 or 4 bytes.
            value: Unsigned, less than 2 ** (8 * size).
        """

    def fast_ports(self) -> Mapping[int, FastPort]:
        """Say which ports need no asking at this moment.

        The answer may change with every `read_port`, `write_port` and `restore`, and wherever a device says so.
        """

    def save(self) -> object:
        """Return the state. It is immutable and can be restored any number of times.

        It changes with accesses, ticks and interrupts only, and wherever a device says so: snapshots leave other devices alone.
        """

    def restore(self, state: object) -> None:
        """Go back to a state that `save` returned."""


class DataPort(Protocol):
    """A port through which a block of bytes passes, in accesses of 2 or 4 bytes.

    Bytes `[position, end)` of the buffer are still to pass. The machine may move them by itself, all but the last access: that one
    asks the device, and so do accesses that do not fit. Nothing passes while `position` equals `end`.

    Attributes:
        buffer: 8192 bytes.
        position: Where the next access begins.
        end: Where the block ends.
        to_guest: Whether the guest reads the bytes; else it writes them.
    """

    @property
    def buffer(self) -> memoryview: ...  # noqa: D102 - see above

    position: int
    end: int
    to_guest: bool


class MemoryDevice(Device, Protocol):
    """A device that has registers in memory, too."""

    def read_memory(self, offset: int, size: int) -> int:
        """Answer a load.

        Args:
            offset: From the start of its window.
            size: 1, 2 or 4 bytes; aligned. Wider and unaligned accesses come as several.
        """

    def fast_words(self) -> Mapping[int, int]:
        """Say what words of 4 bytes read as without asking, by their offsets, which never change.

        The values may change with every `write_memory` and `restore`; then it is another mapping.
        """

    def write_memory(self, offset: int, size: int, value: int) -> None:
        """Take a store.

        Args:
            offset: From the start of its window.
            size: 1, 2 or 4 bytes; aligned.
            value: Unsigned, less than 2 ** (8 * size).
        """


class WithoutPorts:
    """What a device that has registers in memory only says of ports."""

    ports = ()

    def read_port(self, port: int, size: int) -> int:
        """It has no ports."""
        raise AssertionError((port, size))

    def write_port(self, port: int, size: int, value: int) -> None:
        """It has no ports."""
        raise AssertionError((port, size, value))

    def fast_ports(self) -> Mapping[int, FastPort]:
        """It has no ports."""
        return {}


def read_bytes(read: Callable[[int], int], port: int, size: int) -> int:
    """Answer a wide `in` as the ISA bus does: byte by byte from consecutive ports, the low byte first."""
    return sum(read(port + index) << (8 * index) for index in range(size))


def write_bytes(write: Callable[[int, int], None], port: int, size: int, value: int) -> None:
    """Take a wide `out` as the ISA bus does: byte by byte to consecutive ports, the low byte first."""
    for index in range(size):
        write(port + index, value >> (8 * index) & 0xFF)


class Planes(NamedTuple):
    """How the CPU gets at the four planes of a VGA. Masks have one bit for each plane.

    Attributes:
        chain4: The lowest two bits of an address choose the plane.
        odd_even: The lowest bit does, of planes 0 and 1 or of 2 and 3.
        map_mask: The planes that are written.
        set_value: What planes get instead of the CPU's bits.
        set_enabled: Which of them do.
        compare: Reads tell which pixels have this colour.
        care: In these planes.
        compares: Whether reads do that.
        operation: With the latches: 0 none, 1 and, 2 or, 3 exclusive or.
        rotate: How far the CPU's bits are rotated to the right, 0 to 7.
        read_plane: The one that is read, 0 to 3.
        write_mode: 0 to 3.
        bit_mask: The bits that are not the latches'.

    Source: IBM VGA/XGA Technical Reference, "Graphics Controller Registers".
    """

    chain4: bool
    odd_even: bool
    map_mask: int
    set_value: int
    set_enabled: int
    compare: int
    care: int
    compares: bool
    operation: int
    rotate: int
    read_plane: int
    write_mode: int
    bit_mask: int


class VideoMemory(Protocol):
    """The frame buffer of a graphics adapter, and what of it the CPU finds in the 64 KiB at 0xA0000; at first RAM."""

    def __len__(self) -> int:
        """Return its size in bytes, a power of two."""

    def view(self) -> memoryview:
        """Return all of it, to be read and written; it is zero at first.

        Raises:
            HostError: The host has no memory for it.
        """

    def clear(self, size: int) -> None:
        """Make its first bytes zero, so many."""

    def show_ram(self) -> None:
        """Let RAM lie at 0xA0000."""

    def show_part(self, offset: int) -> None:
        """Let the frame buffer lie at 0xA0000, from an offset in bytes on."""

    def show_planes(self, planes: Planes, offset: int) -> None:
        """Let the four planes of the frame buffer lie at 0xA0000.

        Args:
            planes: How the CPU gets at them.
            offset: In bytes of a plane.
        """
