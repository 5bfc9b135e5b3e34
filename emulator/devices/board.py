"""The board: what a PC has, as a table, and how a device is connected.

Another device is another row. One that names its ports sleeps until it is needed: then its module is imported, and it is made as it
would have been at the start. So most devices cost nothing, neither at the start nor in snapshots.

A device gets what it needs from `Wires`: the clock, its interrupt line, its console and its window of memory; the machine knows
rows, not devices. The interrupt controllers and the interval timer are no rows: the core has them.

Windows lie in the video memory of a PC. They are memory, so the guest's accesses reach no device: that looks when it wants to.
Registers in memory (`mmio`) lie outside of RAM, and each access of the guest reaches the device.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from emulator.devices import addresses
from emulator.devices.device import Device

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.devices.apic.bus import ApicBus
    from emulator.devices.device import DataPort, VideoMemory
    from emulator.devices.ide.disk import DiskContents
    from emulator.devices.pci import Configuration
    from emulator.devices.vga.ports import VgaPorts
    from emulator.devices.vga.text import VgaText

SERIAL_CONSOLE, DEBUG_CONSOLE, SERIAL2_CONSOLE = 0, 1, 2
"""Numbers of the consoles."""

DEFAULT_START_S: Final = 1_704_067_200
"""2024-01-01 00:00:00."""


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
        apics: Returns what connects APICs with each other, and with the CPU.
        device: Returns the device of another row, by its name; it wakes if it sleeps.
        moved: To be called by a timer when its next tick may have moved.
        changed: To be called with the device where its state or its `fast_ports` change by themselves.
        send: Takes output for the row's console.
        end_run: Ends the run with an exit code.
        reset: Ends it because the guest resets the PC.
        switch_off: Ends it because the guest switches the power off.
        set_a20: Opens gate A20, or shuts it; it is open at first.
        ram_end: End of RAM, in bytes.
        window: The row's memory.
        read_memory: Returns so many bytes of physical memory from an address on; zeroes where none is.
        write_memory: Writes bytes to physical memory from an address on; ROM and what is not there do not change.
        video: Returns the row's frame buffer.
        data_port: Returns what passes a block of bytes through a port, which must be one of the device's.
    """

    now_ns: Callable[[], int]
    interrupt: Callable[[], None]
    second_interrupt: Callable[[], None]
    is_heard: Callable[[], bool]
    ticking: Callable[[Timer], Timer]
    apics: Callable[[], ApicBus]
    device: Callable[[str], Device]
    moved: Callable[[], None]
    changed: Callable[[Device], None]
    send: Callable[[bytes], None]
    end_run: Callable[[int], None]
    reset: Callable[[], None]
    switch_off: Callable[[], None]
    set_a20: Callable[[bool], None]
    ram_end: int
    window: memoryview
    read_memory: Callable[[int, int], bytes]
    write_memory: Callable[[int, bytes], None]
    video: Callable[[], VideoMemory]
    data_port: Callable[[int], DataPort]


class Row(NamedTuple):
    """A device of the board.

    Attributes:
        make: Makes it, in the state of the start whenever that is: what it does not know by then is as if it had waited.
        name: What others find it by; "": nobody looks for it.
        ports: Those at which it answers, if it sleeps until the guest accesses one of them or its registers in memory, or somebody
            looks for it. Until then nothing may happen in it by itself. None: it is made at once, and says at which ports.
        line: Its interrupt line, 0 to 15; None: it has none.
        second_line: Another one.
        console: Where its output goes to, if it has any.
        window: Its memory, `[start, end)`, physical; empty: it has none.
        mmio: Its registers in memory, `[start, end)`, physical, in pages outside of RAM; empty: it has none. Accesses reach the
            device, which is a `MemoryDevice` then.
        frame_buffer: Its frame buffer, `[start, end)`, physical, outside of RAM; empty: it has none. That is memory, of which the board
            has one at most.
        disks: How many disks are plugged into it.
    """

    make: Callable[[Wires], Device]
    name: str = ""
    ports: tuple[int, ...] | None = None
    line: int | None = None
    second_line: int | None = None
    console: int = SERIAL_CONSOLE
    window: tuple[int, int] = (0, 0)
    mmio: tuple[int, int] = (0, 0)
    frame_buffer: tuple[int, int] = (0, 0)
    disks: int = 0


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
    if len(settings.disks) > addresses.IDE_DRIVES:
        raise ValueError(f"a PC has {addresses.IDE_DRIVES} IDE disks at most, not {len(settings.disks)}")
    keys = _key_events(settings.keys)
    com1 = partial(_uart, base=addresses.COM1[0], received=settings.serial_input)
    com2 = partial(_uart, base=addresses.COM2[0])
    keyboard = partial(_keyboard, keys=keys)
    return (
        Row(com1, "COM1", None if settings.serial_input else addresses.COM1, line=4, console=SERIAL_CONSOLE),
        Row(com2, "COM2", addresses.COM2, line=3, console=SERIAL2_CONSOLE),
        Row(_debug_console, "debug console", addresses.DEBUG_CONSOLE, console=DEBUG_CONSOLE),
        Row(_debug_exit, "debug exit", addresses.DEBUG_EXIT),
        Row(_vga, "VGA", addresses.VGA, frame_buffer=addresses.FRAME_BUFFER),
        Row(_crtc, "CRTC", addresses.CRTC, window=addresses.TEXT_MEMORY),
        Row(_graphics, "graphics", addresses.DISPLAY_INTERFACE, mmio=addresses.GRAPHICS_REGISTERS),
        Row(keyboard, "keyboard", None if keys else addresses.KEYBOARD, line=1, second_line=12),
        Row(_local_apic, "local APIC", (), mmio=addresses.LOCAL_APIC),
        Row(_io_apic, "I/O APIC", (), mmio=addresses.IO_APIC),
        Row(_acpi, "ACPI", addresses.ACPI, line=9),
        Row(partial(_rtc, start_s=settings.rtc_start_s, disks=settings.disks), "RTC", addresses.RTC, line=8),
        Row(_system_control, "system control", addresses.SYSTEM_CONTROL),
        Row(_post_port, "POST", addresses.POST),
        Row(_dma, "DMA", addresses.DMA),
        Row(_floppy, "floppy", addresses.FLOPPY, line=6),
        Row(_pci, "PCI", addresses.PCI),
        Row(
            partial(_ide, disks=settings.disks),
            "IDE",
            addresses.IDE,
            line=14,
            second_line=15,
            disks=len(settings.disks),
        ),
    )


# -- the devices of a PC. A module is imported only where its device is needed: many kernels need one or two ----------------------


def _key_events(keys: str) -> tuple[bytes, ...]:
    if not keys:
        return ()
    from emulator.devices.keyboard.key_text import key_events

    return key_events(keys)


def _uart(wires: Wires, base: int, received: bytes = b"") -> Device:
    from emulator.devices.uart import Uart

    return wires.ticking(Uart(wires, base, received=received))


def _debug_console(wires: Wires) -> Device:
    from emulator.devices.debug_console import DebugConsole

    return DebugConsole(wires.send)


def _debug_exit(wires: Wires) -> Device:
    from emulator.devices.debug_exit import DebugExit

    return DebugExit(wires.end_run)


def _vga(wires: Wires) -> Device:
    from emulator.devices.vga.ports import VgaPorts

    return VgaPorts(wires.now_ns, wires.video())


def _crtc(_wires: Wires) -> Device:
    from emulator.devices.vga.text import VgaText

    return VgaText()


def _graphics(wires: Wires) -> Device:
    from emulator.devices.vga.dispi import Dispi

    vga, crtc = cast("VgaPorts", wires.device("VGA")), cast("VgaText", wires.device("CRTC"))
    return Dispi(vga, crtc, wires.changed)


def _keyboard(wires: Wires, keys: tuple[bytes, ...]) -> Device:
    from emulator.devices.keyboard.controller import KeyboardController

    return wires.ticking(KeyboardController(wires, keys))


def _local_apic(wires: Wires) -> Device:
    from emulator.devices.apic.local_apic import LocalApic

    return wires.ticking(LocalApic(wires.apics(), wires.now_ns, wires.moved, wires.reset))


def _io_apic(wires: Wires) -> Device:
    from emulator.devices.apic.io_apic import IoApic

    wires.device("local APIC")  # takes its messages
    return IoApic(wires.apics())


def _acpi(wires: Wires) -> Device:
    from emulator.devices.acpi_power import AcpiPower

    return wires.ticking(AcpiPower(wires.now_ns, wires.moved, wires.switch_off))


def _rtc(wires: Wires, start_s: int, disks: tuple[DiskContents, ...]) -> Device:
    from emulator.devices.rtc import Rtc

    return wires.ticking(Rtc(wires, start_s, disks))


def _system_control(wires: Wires) -> Device:
    from emulator.devices.system_control import SystemControl

    return SystemControl(wires.reset, wires.set_a20)


def _post_port(_wires: Wires) -> Device:
    from emulator.devices.post_port import PostPort

    return PostPort()


def _dma(_wires: Wires) -> Device:
    from emulator.devices.dma import DmaControllers

    return DmaControllers()


def _floppy(wires: Wires) -> Device:
    from emulator.devices.floppy import FloppyController

    return wires.ticking(FloppyController(wires))


def _pci(wires: Wires) -> Device:
    from emulator.devices.chipset import chipset
    from emulator.devices.pci import Configuration

    return Configuration(chipset(), wires.reset)


def _ide(wires: Wires, disks: tuple[DiskContents, ...]) -> Device:
    from emulator.devices.ide.controller import IdeController

    pci = cast("Configuration", wires.device("PCI"))
    return IdeController(wires, pci.function(1, 1), disks)
