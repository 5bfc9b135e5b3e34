"""Kernels that ask a port again and again, against QEMU."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from measure import Row, at_most, cpu_seconds, kmemu, least, qemu_command

if TYPE_CHECKING:
    from collections.abc import Callable

POLLS = 1_000_000
RUNS = 5
QEMU_EXIT, KMEMU_EXIT = 1, 0  # of a kernel that reports success
LOAD_AT = 0x00100000
MAGIC, HAS_ADDRESSES = 0x1BADB002, 1 << 16
HEADER = struct.Struct("<8I")
EXIT = b"\x31\xc0\x66\xba\xf4\x00\xef"  # xor eax, eax; mov dx, 0xf4; out dx, eax
TARGET = 3.0


def read_of(port: int) -> bytes:
    """Return code that reads a port."""
    return b"\x66\xba" + port.to_bytes(2, "little") + b"\xec"  # mov dx, PORT; in al, dx


PORTS = {
    "keyboard controller": read_of(0x64),
    "system control": read_of(0x61),
    "UART": read_of(0x3FD),
    "PM timer": b"\x66\xba\x08\x06\xed",  # mov dx, 0x608; in eax, dx
    "8254": b"\xb0\x00\xe6\x43\xe4\x40\xe4\x40",  # mov al, 0; out 0x43, al; in al, 0x40; in al, 0x40
}
"""What a kernel does each time, by who answers. The 8254 is asked for a count: one write, two reads."""


def kernel(polls: int, code: bytes) -> bytes:
    """Return a kernel, no ELF file, that executes *code* so often and exits."""
    body = b"\xb9" + polls.to_bytes(4, "little")  # mov ecx, POLLS
    body += code + b"\x49\x75" + bytes((0x100 - len(code) - 3,)) + EXIT  # dec ecx; jnz
    end = LOAD_AT + HEADER.size + len(body)
    checksum = -(MAGIC + HAS_ADDRESSES) & 0xFFFFFFFF
    addresses = (LOAD_AT, LOAD_AT, end, end, LOAD_AT + HEADER.size)
    return HEADER.pack(MAGIC, HAS_ADDRESSES, checksum, *addresses) + body


def polling() -> Row:
    """The slowest of some ports that kernels poll, against QEMU; CPU time of whole processes without start-up."""
    with TemporaryDirectory() as folder:
        here, there, ratios = [], [], {}
        for name, code in PORTS.items():
            (polled, once) = (write(Path(folder), name, kernel(polls, code)) for polls in (POLLS, 1))
            ours_s, qemu_s, ours_start_s, qemu_start_s = least(
                RUNS, *(timed(path) for path in (polled, once) for timed in (ours, theirs))
            )
            here.append(f"{name} {(ours_s - ours_start_s) * 1e3:.0f}")
            there.append(f"{(qemu_s - qemu_start_s) * 1e3:.0f}")
            ratios[name] = (ours_s - ours_start_s) / (qemu_s - qemu_start_s)
    slowest = max(ratios.values())
    return Row(
        name="polling",
        what=f"a port polled {POLLS / 1e6:.0f} M times",
        measured=f"{', '.join(here)} ms",
        peer=f"QEMU TCG {', '.join(there)} ms",
        ratio=slowest,
        target=at_most(slowest, TARGET, "ratio <= 3 for each"),
    )


def write(folder: Path, name: str, contents: bytes) -> Path:
    """Write a kernel's file."""
    path = folder / f"{name.replace(' ', '_')}_{len(list(folder.iterdir()))}.bin"
    path.write_bytes(contents)
    return path


def ours(path: Path) -> Callable[[], float]:
    """Return what times a boot here."""
    return lambda: cpu_seconds(kmemu("boot", str(path)), KMEMU_EXIT)


def theirs(path: Path) -> Callable[[], float]:
    """Return what times a boot in QEMU."""
    return lambda: cpu_seconds(qemu_command(path), QEMU_EXIT)
