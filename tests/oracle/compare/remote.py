"""A client of the GDB remote serial protocol, as far as comparing needs it (GDB manual, appendix E)."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

from emulator.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

_PACKET = re.compile(rb"\$([^#]*)#[0-9a-f]{2}", re.DOTALL)
_REGISTER = re.compile(r'<reg\b[^>]*?\bname="(\w+)"[^>]*?\bbitsize="(\d+)"')
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_MEMORY_AT_ONCE = 0x400  # bytes; an answer has two characters for each and at most 4096


class Ended(Exception):
    """The machine is gone: it exited, or was reset."""


class Register(NamedTuple):
    """Where a register lies in the answer to `g`, in bytes."""

    offset: int
    size: int


class RemoteDebugger:
    """Stops, starts and reads a machine.

    Args:
        path: The socket at which its stub listens.
        timeout_s: How long an answer may take; that to "go on" may be asked to take longer.

    Raises:
        HostError: Nobody listens.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._received = b""
        self._connection = _connected(path, timeout_s)
        self._layout = self._read_layout()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def registers(self) -> dict[str, int]:
        """Return all registers of up to 32 bits, by their names in the stub's description."""
        data = bytes.fromhex(self._ask("g"))
        return {
            name: int.from_bytes(data[at.offset : at.offset + at.size], "little")
            for name, at in self._layout.items()
            if at.size <= 4
        }

    def read(self, address: int, size: int) -> bytes:
        """Read memory at a linear address."""
        parts = []
        for at in range(address, address + size, _MEMORY_AT_ONCE):
            answer = self._ask(f"m{at:x},{min(_MEMORY_AT_ONCE, address + size - at):x}")
            if answer.startswith("E"):
                raise HostError(f"QEMU does not let 0x{at:08x} be read")
            parts.append(bytes.fromhex(answer))
        return b"".join(parts)

    def set_breakpoint(self, address: int) -> None:
        """Stop in front of an instruction from now on."""
        self._ask(f"Z0,{address:x},1")

    def clear_breakpoint(self, address: int) -> None:
        """Stop there no longer."""
        self._ask(f"z0,{address:x},1")

    def step(self) -> None:
        """Execute one instruction, or one round of a repeated one; no interrupt is taken.

        Raises:
            Ended: The machine is gone.
            TimeoutError: It waits.
        """
        self._stopped(self._ask("s"))

    def go_on(self) -> None:
        """Run to a breakpoint, which is not the instruction at which the machine stands.

        Raises:
            Ended: The machine is gone.
            TimeoutError: It has reached none in time.
        """
        self._stopped(self._ask("c"))

    @staticmethod
    def _stopped(answer: str) -> None:
        if not answer.startswith("T05"):
            raise Ended(answer)

    def _read_layout(self) -> dict[str, Register]:
        """Read which registers the stub has, in what order (GDB manual, appendix G)."""
        self._ask("qSupported:xmlRegisters=i386")
        layout: dict[str, Register] = {}
        offset = 0
        target = self._document("target.xml")
        for name in re.findall(r'href="([^"]+)"', target):
            for register, bits in _REGISTER.findall(_COMMENT.sub("", self._document(name))):
                layout[register] = Register(offset, int(bits) // 8)
                offset += int(bits) // 8
        return layout

    def _document(self, name: str) -> str:
        text = ""
        while True:
            answer = self._ask(f"qXfer:features:read:{name}:{len(text):x},f00")
            text += answer[1:]
            if answer[:1] != "m":
                return text

    def _ask(self, request: str) -> str:
        data = request.encode()
        try:
            self._connection.sendall(b"$%b#%02x" % (data, sum(data) & 0xFF))
            while (found := _PACKET.search(self._received)) is None:
                more = self._connection.recv(1 << 16)
                if not more:
                    raise Ended("the connection is closed")
                self._received += more
            self._received = self._received[found.end() :]
            self._connection.sendall(b"+")
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Ended(str(error)) from error
        return found[1].decode("latin-1")


def _connected(path: Path, timeout_s: float) -> socket.socket:
    deadline = time.monotonic() + timeout_s
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    while True:
        try:
            connection.connect(str(path))
        except OSError as error:
            if time.monotonic() > deadline:
                connection.close()
                raise HostError(f"QEMU does not listen at {path}: {error}") from error
            time.sleep(0.01)
        else:
            return connection
