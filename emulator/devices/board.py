"""The board: what a PC has, as a table, and how a device is connected.

Another device is another row. It gets what it needs from `Wires`: the clock, its interrupt line, its console and its window of
memory; the machine knows rows, not devices. The interrupt controllers and the interval timer are no rows: the core has them.

Windows lie in the video memory of a PC. They are memory, so the guest's accesses reach no device: that looks when it wants to.
Registers in memory (`mmio`) lie outside of RAM, and each access of the guest reaches the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from emulator.devices.acpi_power import AcpiPower
from emulator.devices.apic.io_apic import IO_APIC, IoApic
from emulator.devices.apic.local_apic import LOCAL_APIC, LocalApic
from emulator.devices.chipset import Chipset
from emulator.devices.debug_console import DebugConsole
from emulator.devices.debug_exit import DebugExit
from emulator.devices.device import Device
from emulator.devices.ide.ports import DRIVES
from emulator.devices.keyboard.controller import KeyboardController
from emulator.devices.keyboard.key_text import key_events
from emulator.devices.post_port import PostPort
from emulator.devices.rtc import DEFAULT_START_S, Rtc
from emulator.devices.system_control import SystemControl
from emulator.devices.uart import Uart
from emulator.devices.vga.ports import VgaPorts
from emulator.devices.vga.text import MEMORY_SIZE, MEMORY_START, VgaText
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.devices.apic.bus import ApicBus
    from emulator.devices.device import DataPort
    from emulator.devices.ide.disk import DiskContents

SERIAL_CONSOLE, DEBUG_CONSOLE = 0, 1
"""Numbers of the consoles."""

TIMER_LINE = 0
"""The interrupt line of the interval timer, which the core has, as it has the interrupt controllers."""

WINDOWS_START, WINDOWS_END = 0xA0000, 0xC0000
"""Where windows may lie."""

MMIO_END = 1 << 32
"""Where the addresses end at which devices may have registers in memory."""


class Timer(Device, Protocol):
    """A device that raises its interrupt line when its time has come."""

    def next_tick_ns(self) -> int | None:
        """Return when it raises its line next, or does something else by itself, in virtual time; None: never.

        While the CPU waits, time jumps from one of these moments to the next: what changes nothing must not come for ever.
        """

    def take_ticks(self, now_ns: int) -> int:
        """Return how often it has raised its line since that was last asked, besides by `Wires.interrupt`."""


class Wires(NamedTuple):
    """What a device is connected to.

    Attributes:
        now_ns: Returns the virtual time.
        interrupt: Raises the row's interrupt line.
        second_interrupt: Raises its second one.
        is_heard: Whether the guest would take the row's interrupt now.
        ticking: Returns a timer that is given to it, which raises the row's interrupt line, if it has any, from now on when it
            ticks.
        apics: Connects APICs with each other, and with the CPU.
        moved: To be called by a timer when its next tick may have moved.
        changed: To be called with the device where its `fast_ports` change by themselves.
        send: Takes output for the row's console.
        end_run: Ends the run with an exit code.
        set_a20: Opens gate A20, or shuts it; it is open at first.
        ram_end: End of RAM, in bytes.
        window: The row's memory.
        read_memory: Returns so many bytes of physical memory from an address on; zeroes where none is.
        write_memory: Writes bytes to physical memory from an address on; ROM and what is not there do not change.
        data_port: Returns what passes a block of bytes through a port, which must be one of the device's.
    """

    now_ns: Callable[[], int]
    interrupt: Callable[[], None]
    second_interrupt: Callable[[], None]
    is_heard: Callable[[], bool]
    ticking: Callable[[Timer], Timer]
    apics: ApicBus
    moved: Callable[[], None]
    changed: Callable[[Device], None]
    send: Callable[[bytes], None]
    end_run: Callable[[int], None]
    set_a20: Callable[[bool], None]
    ram_end: int
    window: memoryview
    read_memory: Callable[[int, int], bytes]
    write_memory: Callable[[int, bytes], None]
    data_port: Callable[[int], DataPort]


class Row(NamedTuple):
    """A device of the board.

    Attributes:
        make: Makes it.
        line: Its interrupt line, 0 to 15; None: it has none.
        second_line: Another one.
        console: Where its output goes to, if it has any.
        window: Its memory, `[start, end)`, physical; empty: it has none.
        mmio: Its registers in memory, `[start, end)`, physical, in pages outside of RAM; empty: it has none. Accesses reach the
            device, which is a `MemoryDevice` then.
    """

    make: Callable[[Wires], Device]
    line: int | None = None
    second_line: int | None = None
    console: int = SERIAL_CONSOLE
    window: tuple[int, int] = (0, 0)
    mmio: tuple[int, int] = (0, 0)


class BoardSettings(NamedTuple):
    """What a user says about the devices of a PC. The same settings make the same devices.

    Attributes:
        serial_input: What the other side of COM1 has sent before the run; it waits on the line until the guest reads it.
        keys: What is typed on the keyboard as soon as the guest listens; see `emulator.devices.keyboard.key_text`.
        rtc_start_s: Date and time of the real-time clock at the start, in seconds since 1970.
        disks: What the IDE disks hold before the run, four at most; it is never written. The first two are on the first channel.
    """

    serial_input: bytes = b""
    keys: str = ""
    rtc_start_s: int = DEFAULT_START_S
    disks: tuple[DiskContents, ...] = ()


DEFAULT_BOARD = BoardSettings()


def pc_board(settings: BoardSettings = DEFAULT_BOARD) -> tuple[Row, ...]:
    """Return the devices of a PC.

    Raises:
        UnknownKey: See `emulator.devices.keyboard.key_text.key_events`.
        ValueError: There are too many disks.
    """
    if len(settings.disks) > DRIVES:
        raise ValueError(f"a PC has {DRIVES} IDE disks at most, not {len(settings.disks)}")
    keys = key_events(settings.keys)
    return (
        Row(
            lambda wires: wires.ticking(Uart(wires, received=settings.serial_input)),
            line=4,
            console=SERIAL_CONSOLE,
        ),
        Row(lambda wires: DebugConsole(wires.send), console=DEBUG_CONSOLE),
        Row(lambda wires: DebugExit(wires.end_run)),
        Row(lambda wires: VgaPorts(wires.now_ns)),
        Row(lambda _wires: VgaText(), window=(MEMORY_START, MEMORY_START + MEMORY_SIZE)),
        Row(lambda wires: wires.ticking(KeyboardController(wires, keys)), line=1, second_line=12),
        Row(lambda wires: wires.ticking(LocalApic(wires.apics, wires.now_ns, wires.moved)), mmio=LOCAL_APIC),
        Row(lambda wires: IoApic(wires.apics), mmio=IO_APIC),
        Row(lambda wires: wires.ticking(AcpiPower(wires.now_ns, wires.moved, wires.end_run)), line=9),
        Row(lambda wires: wires.ticking(Rtc(wires, settings.rtc_start_s)), line=8),
        Row(lambda wires: SystemControl(wires.end_run, wires.set_a20)),
        Row(lambda _wires: PostPort()),
        Row(lambda wires: Chipset(wires, settings.disks), line=14, second_line=15),
    )


def check_board(board: tuple[Row, ...], ram_end: int) -> None:
    """Check that rows do not get into each other's way.

    Args:
        board: The rows.
        ram_end: Where RAM ends, physical.

    Raises:
        ValueError: A line is none of a PC, or used twice; or a window or registers lie elsewhere, or over others.
    """
    lines = [TIMER_LINE]
    lines += [line for row in board for line in (row.line, row.second_line) if line is not None]
    for line in lines:
        if not 0 <= line <= 15 or lines.count(line) > 1:  # noqa: PLR2004 - a PC's
            raise ValueError(f"interrupt line {line} is not one of 0 to 15, or has two devices")
    end = WINDOWS_START
    for start, stop in sorted(row.window for row in board if row.window[0] < row.window[1]):
        if not end <= start < stop <= WINDOWS_END:
            raise ValueError(
                f"the window 0x{start:08x}-0x{stop:08x} lies outside of video memory, or over another one"
            )
        end = stop
    end = ram_end
    for start, stop in sorted(row.mmio for row in board if row.mmio[0] < row.mmio[1]):
        if not end <= start < stop <= MMIO_END or start % PAGE_SIZE or stop % PAGE_SIZE:
            raise ValueError(
                f"the registers 0x{start:08x}-0x{stop:08x} lie in RAM, over others, or not on page boundaries below 4 GiB"
            )
        end = stop
