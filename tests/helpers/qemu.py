"""QEMU as an oracle: runs a kernel and hands out its output, its exit code and its RAM.

RAM cannot be read after isa-debug-exit, which ends the QEMU process at once. So a kernel runs twice: once with the
device, for console text and exit code, and once without, where it ends in the `cli; hlt` after its write to the port
and RAM is read through the monitor (QMP). The second run stops at the kernel's first instruction too, by a
breakpoint of the gdb stub, so that the boot loader's work can be distinguished from the kernel's.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "qemu-system-i386"
RAM_MIB = 16
TIMEOUT_S = 60.0

_REGISTER = re.compile(r"\b(E[A-Z]{2}|CR[0-4])=([0-9a-f]{8})")
_GDB_REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")


class Ended(NamedTuple):
    """A run with the exit device."""

    exit_code: int
    serial: bytes
    debug: bytes
    serial2: bytes


class Moment(NamedTuple):
    """A state of the stopped machine: RAM from address 0 on, and the general registers with EIP and EFLAGS."""

    ram: bytes
    registers: dict[str, int]


class PageTables(NamedTuple):
    """What the page tables in use map.

    Attributes:
        ranges: The answer to ``info mem``.
        pages: The answer to ``info tlb``.
        dump: RAM, as ``dump-guest-memory`` writes it.
    """

    ranges: str
    pages: str
    dump: bytes


class Inspected(NamedTuple):
    """A run without the exit device, recorded at its first instruction and at its end."""

    at_entry: Moment
    at_end: Moment


def run_to_exit(
    kernel: Path, append: str = "", modules: Sequence[str] = (), options: Sequence[str] = ()
) -> Ended:
    """Run until the kernel writes to the exit device.

    Args:
        kernel: ELF file with a Multiboot header.
        append: Command line, after the kernel's name.
        modules: Files in the kernel's folder, each with its arguments.
        options: Further ones for QEMU.
    """
    with tempfile.TemporaryDirectory(prefix="kmemu-qemu-") as directory:
        debug, serial2 = (Path(directory) / name for name in ("debug", "serial2"))
        command = [*_command(kernel, append), "-serial", "stdio", "-serial", f"file:{serial2}"]
        command += ["-debugcon", f"file:{debug}"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += ["-initrd", ",".join(modules)] if modules else []
        command += options
        done = subprocess.run(
            command,
            cwd=kernel.parent,
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not done.stderr, f"QEMU: {done.stderr.decode()}"
        return Ended(done.returncode, done.stdout, debug.read_bytes(), serial2.read_bytes())


def text_of_endless(kernel: Path, size: int, append: str = "") -> bytes:
    """Return what a kernel that never ends writes to COM1: *size* bytes, and whatever half a second adds to them.

    Args:
        kernel: ELF file with a Multiboot header.
        size: Bytes to wait for.
        append: Command line, after the kernel's name.
    """
    command = [*_command(kernel, append), "-serial", "stdio", "-serial", "null"]
    command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    with subprocess.Popen(
        command, cwd=kernel.parent, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            text = process.stdout.read(size)
            time.sleep(0.5)
            assert process.poll() is None, f"QEMU ended with {process.returncode}"
        finally:
            watchdog.cancel()
            process.kill()
        return text + process.stdout.read()


def inspect(kernel: Path, entry: int, end: int, append: str = "") -> Inspected:
    """Run until the kernel halts; read [0, end) of memory before its first instruction and at its end.

    Args:
        kernel: ELF file with a Multiboot header.
        entry: Address of the first instruction.
        end: Physical, exclusive.
        append: Command line, after the kernel's name.
    """
    with _paused(kernel, append) as (monitor, debugger, directory):
        debugger.run_to(entry)
        at_entry = Moment(monitor.memory(end, directory / "ram"), debugger.registers())
        debugger.leave()
        text = monitor.wait_for_halt()
        registers = {name.lower(): int(value, 16) for name, value in _REGISTER.findall(text)}
        return Inspected(at_entry, Moment(monitor.memory(end, directory / "ram"), registers))


def page_tables(kernel: Path, append: str = "") -> PageTables:
    """Run a kernel until it halts, and return what its page tables map.

    Args:
        kernel: Path of the kernel.
        append: Its command line, after its own name.
    """
    with _paused(kernel, append) as (monitor, debugger, directory):
        debugger.leave()
        monitor.wait_for_halt()
        return PageTables(monitor.ask("info mem"), monitor.ask("info tlb"), monitor.dump(directory / "dump"))


def picture(kernel: Path, append: str) -> tuple[int, int, bytes]:
    """Run until the kernel halts, and return what the screen shows: width, height, and red, green and blue of each pixel.

    Args:
        kernel: ELF file with a Multiboot header.
        append: Command line, after the kernel's name.
    """
    with _paused(kernel, append) as (monitor, debugger, directory):
        debugger.leave()
        monitor.wait_for_halt()
        return monitor.picture(directory / "screen")


def _command(kernel: Path, append: str) -> list[str]:
    if shutil.which(PROGRAM) is None:
        raise AssertionError(f"the oracle tests need {PROGRAM}: apt-get install qemu-system-x86")
    # The kernel by its bare name: QEMU passes it on as the first word of the command line.
    machine = [
        "-m",
        str(RAM_MIB),
        "-accel",
        "tcg",
        "-nodefaults",
        "-vga",
        "std",
        "-display",
        "none",
        "-no-reboot",
    ]
    return [PROGRAM, *machine, "-kernel", kernel.name, *(["-append", append] if append else [])]


@contextmanager
def _paused(kernel: Path, append: str) -> Iterator[tuple[_Monitor, _Debugger, Path]]:
    with tempfile.TemporaryDirectory(prefix="kmemu-qemu-") as name:
        directory = Path(name)
        command = [*_command(kernel, append), "-S", "-debugcon", "null"]
        command += ["-serial", "null", "-serial", "null"]
        for channel, option in (("qmp", "-qmp"), ("gdb", "-gdb")):
            socket_path = directory / channel
            command += ["-chardev", f"socket,id={channel},path={socket_path},server=on,wait=off"]
            command += (
                ["-mon", f"chardev={channel},mode=control"]
                if channel == "qmp"
                else [option, f"chardev:{channel}"]
            )
        with subprocess.Popen(
            command, cwd=kernel.parent, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as process:
            try:
                with _connect(directory / "qmp", process) as qmp, _connect(directory / "gdb", process) as gdb:
                    yield _Monitor(qmp), _Debugger(gdb), directory
            finally:
                process.kill()


def _connect(path: Path, process: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + TIMEOUT_S
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT_S)
    while True:
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            if process.poll() is not None and process.stderr is not None:
                raise AssertionError(f"QEMU does not start: {process.stderr.read().decode()}") from None
            assert time.monotonic() < deadline, "QEMU does not open its monitor"
            time.sleep(0.005)
        else:
            return connection


class _Monitor:
    """QMP: one JSON object a line (QEMU, docs/interop/qmp-spec.txt)."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rw")
        json.loads(self._lines.readline())  # the greeting
        self._execute("qmp_capabilities")

    def memory(self, end: int, path: Path) -> bytes:
        """Read physical memory [0, end), by way of a file."""
        self._execute("pmemsave", val=0, size=end, filename=str(path))
        return path.read_bytes()

    def picture(self, path: Path) -> tuple[int, int, bytes]:
        """Return what the screen shows, by way of a file."""
        self._execute("screendump", filename=str(path))
        _, size, _, pixels = path.read_bytes().split(b"\n", 3)
        width, height = map(int, size.split())
        return width, height, pixels

    def wait_for_halt(self) -> str:
        """Wait until the CPU halts with interrupts off, which is for good. Returns its registers as QEMU prints them."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            text = self.ask("info registers")
            flags = re.search(r"EFL=([0-9a-f]{8})", text)
            if "HLT=1" in text and flags and not int(flags[1], 16) & 0x200:
                return text
            assert time.monotonic() < deadline, f"the kernel does not halt in QEMU:\n{text}"
            time.sleep(0.01)

    def ask(self, command: str) -> str:
        """Return the answer to a command for people."""
        return str(self._execute("human-monitor-command", **{"command-line": command}))

    def dump(self, path: Path) -> bytes:
        """Return RAM and registers as an ELF core file, by way of a file."""
        self._execute("dump-guest-memory", paging=False, protocol=f"file:{path}")
        return path.read_bytes()

    def _execute(self, command: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        self._lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer = json.loads(self._lines.readline())
            assert "error" not in answer, f"QEMU refuses {command}: {answer}"
            if "return" in answer:
                return answer["return"]


class _Debugger:
    """The gdb stub: run to a breakpoint (GDB manual, appendix E, "Remote Protocol")."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = b""

    def run_to(self, address: int) -> None:
        """Continue until the instruction at *address* is reached."""
        assert self._ask(f"Z1,{address:x},1") == "OK"
        stopped = self._ask("c")
        assert stopped.startswith("T05"), f"QEMU stopped with {stopped!r}"
        assert self._ask(f"z1,{address:x},1") == "OK"

    def registers(self) -> dict[str, int]:
        """General registers, EIP and EFLAGS."""
        words = bytes.fromhex(self._ask("g")[: 8 * len(_GDB_REGISTERS)])
        return dict(zip(_GDB_REGISTERS, struct.unpack(f"<{len(_GDB_REGISTERS)}I", words), strict=True))

    def leave(self) -> None:
        """Let the machine go on by itself."""
        assert self._ask("D") == "OK"

    def _ask(self, packet: str) -> str:
        self._connection.sendall(f"${packet}#{sum(packet.encode()) & 0xFF:02x}".encode())
        while (found := re.search(rb"\$([^#]*)#..", self._received)) is None:
            data = self._connection.recv(4096)
            assert data, "QEMU has closed its gdb stub"
            self._received += data
        self._received = self._received[found.end() :]
        self._connection.sendall(b"+")
        return found[1].decode()
