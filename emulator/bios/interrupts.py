"""Interrupts of devices for which the BIOS does nothing, and vectors without a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.bios.pc import end_of_interrupt
from emulator.devices.addresses import KEYBOARD

if TYPE_CHECKING:
    from emulator.bios.pc import Call


def nothing(call: Call) -> None:
    """Return at once: a parity error, the Print Screen key."""
    del call


def end_first(call: Call) -> None:
    """Leave an interrupt of the first controller alone."""
    end_of_interrupt(call.pc)


def end_second(call: Call) -> None:
    """Leave an interrupt of the second controller alone."""
    end_of_interrupt(call.pc, slave=True)


def mouse_moved(call: Call) -> None:
    """Read a byte that the mouse has sent, and drop it."""
    call.pc.read_port(KEYBOARD[0])
    end_of_interrupt(call.pc, slave=True)


def no_service(call: Call) -> None:
    """Refuse what needs a printer or a floppy disk: there is none."""
    call.lacks()


def no_boot(call: Call) -> None:
    """Refuse to boot from a disk.

    Raises:
        NotEmulated: Always.
    """
    call.pc.refuse(f"int 0x{call.vector:02x}, which boots from a disk")
