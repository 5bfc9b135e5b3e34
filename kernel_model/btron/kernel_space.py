"""Kernel addresses and physical ones.

Theory. The kernel sees physical memory from 0x80000000 upwards, in one piece: ``virtual = physical | 0x80000000``. All
pointers in its structures, and all that it is given, are such virtual addresses; the models work on physical memory
and translate where they load and store. A pointer below 0x80000000 (NULL is one) is no kernel pointer.

Shortcoming. Two GiB of address space show two GiB of memory: RAM from 0x80000000 upwards is out of reach.

Source: spec 2.1; BTRON/386 memo 11, 2.1 (1).
"""

from __future__ import annotations

from typing import Final

from kernel_model.btron.errors import BtronError, Error
from kernel_model.memory import OutsideMemory

KERNEL_BASE: Final = 0x8000_0000
OFFSET_MASK: Final = 0x7FFF_FFFF
"""``address & OFFSET_MASK`` is `physical`, for loops that cannot afford the call."""

ADDRESS_SPACE: Final = 1 << 32
"""More than any size, above any address."""


def physical(address: int) -> int:
    """Return the physical address of a kernel address; one of the low, identity-mapped start stays as it is."""
    return address & OFFSET_MASK


def virtual(address: int) -> int:
    """Return the kernel address of a physical address below 2 GiB; 0 becomes 0x80000000, not NULL."""
    return address | KERNEL_BASE


def pointee(address: int) -> int:
    """Return the physical address of what a pointer of the kernel's points to.

    Raises:
        OutsideMemory: It points below kernel space, where nothing is mapped.
    """
    if address < KERNEL_BASE:
        raise OutsideMemory(address, 1)
    return address - KERNEL_BASE


def check_pointer(address: int) -> None:
    """Accept a pointer argument (unsigned) that lies in kernel space.

    Raises:
        BtronError: E_PAR: it does not.
    """
    if address < KERNEL_BASE:
        raise BtronError(Error.E_PAR)
