"""The two machines: QEMU through its gdb port, and ours. Both start with the same memory and registers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.boot_protocol.modules import Module
from emulator.errors import EmulatorError, HostError
from emulator.machine.address_map import MIB
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from emulator.x86 import PAGE_SIZE
from tests.oracle.compare.remote import Ended, RemoteDebugger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.loader.image import KernelImage

PROGRAM = "qemu-system-i386"
GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
COMPARED = ("eip", *GENERAL, "eflags", "cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4")
"""Registers by which two machines are held to be the same, if both have them."""

_LOW_START, _LOW_END = 0, 0x9_F000  # what a BIOS and a boot loader leave in low memory
_AFTER_IMAGE = 0x1_0000  # bytes after the kernel in which QEMU's loader puts its blocks
_BATCH = 4096

_ENDINGS = {
    Returned.EXIT: "the kernel exits",
    Returned.RESET: "the kernel resets the PC",
    Returned.OFF: "the kernel switches the power off",
    Returned.HALTED: "the kernel halts",
}

State = dict[str, int]


class Setting(NamedTuple):
    """What both machines are made of.

    Attributes:
        image: The kernel.
        ram_mib: Size of memory, with the first MiB.
        command_line: For the kernel.
        modules: Files of Multiboot modules.
        timeout_s: How long either may take to the next point.
    """

    image: KernelImage
    ram_mib: int
    command_line: str
    modules: tuple[Path, ...]
    timeout_s: float


class Qemu:
    """QEMU, stopped at the kernel's first instruction.

    Raises:
        HostError: It is not installed, or does not start.
    """

    def __init__(self, setting: Setting) -> None:
        if shutil.which(PROGRAM) is None:
            raise HostError(f"{PROGRAM} is not installed: apt-get install qemu-system-x86")
        self._words = ""
        self._open = ExitStack()
        path = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="kmemu-compare-"))) / "gdb"
        kernel = Path(setting.image.path).resolve()
        command = [PROGRAM, "-m", str(setting.ram_mib), "-accel", "tcg", "-nodefaults", "-vga", "std", "-S"]
        command += ["-display", "none", "-no-reboot", "-icount", "shift=3,sleep=off"]
        command += ["-serial", "null", "-serial", "null"]
        command += ["-debugcon", "null", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += ["-kernel", kernel.name, "-gdb", f"unix:{path},server=on,wait=off"]
        command += ["-append", setting.command_line] if setting.command_line else []
        command += ["-initrd", ",".join(map(str, setting.modules))] if setting.modules else []
        self._process = subprocess.Popen(
            command, cwd=kernel.parent, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        self._open.callback(self._end)
        try:
            self._debugger = RemoteDebugger(path, setting.timeout_s)
            self._open.callback(self._debugger.close)
            entry = setting.image.physical_entry
            self._debugger.set_breakpoint(entry)
            self._debugger.go_on()
            self._debugger.clear_breakpoint(entry)
        except (Ended, TimeoutError, HostError) as error:
            self.close()
            words = self._words.splitlines() or [str(error)]
            raise HostError(f"QEMU does not start the kernel: {words[-1]}") from error

    def close(self) -> None:
        """End it."""
        self._open.close()

    def _end(self) -> None:
        self._process.kill()
        self._words = self._process.communicate()[1].decode()

    def state(self) -> State:
        """Return the registers."""
        return self._debugger.registers()

    def memory(self, start: int, end: int) -> bytes:
        """Read [start, end)."""
        return self._debugger.read(start, end - start)

    def step(self) -> None:
        """Execute one instruction; see `RemoteDebugger.step`."""
        self._debugger.step()

    def stops(self, addresses: Sequence[int]) -> Iterator[State]:
        """Go from one of *addresses* to the next, for ever: yield the registers at each."""
        for address in addresses:
            self._debugger.set_breakpoint(address)
        wanted = set(addresses)
        while True:
            state = self.state()
            if state["eip"] in wanted:
                yield state
            self._debugger.step()
            if self.state()["eip"] not in wanted:
                self._debugger.go_on()


class Ours:
    """Our machine, with the memory and registers that QEMU has at the kernel's first instruction."""

    def __init__(self, setting: Setting, qemu: Qemu) -> None:
        image = setting.image
        self.machine = Machine(
            image,
            ram=RamWindow(MIB, setting.ram_mib * MIB),
            command_line=setting.command_line,
            modules=[Module.read(str(path)) for path in setting.modules],
        )
        self.ended = ""
        self._timeout_s = setting.timeout_s
        after = _AFTER_IMAGE + sum(path.stat().st_size + PAGE_SIZE for path in setting.modules)
        for start, end in ((_LOW_START, _LOW_END), (image.end, image.end + after)):
            self.machine.memory.write(start, qemu.memory(start, end))
        theirs = qemu.state()
        general = {name: theirs[name] for name in (*GENERAL, "eflags")}
        self.machine.cpu.set_registers(self.machine.registers()._replace(**general))

    def state(self) -> State:
        """Return the registers."""
        return self.machine.registers()._asdict()

    def memory(self, start: int, end: int) -> bytes:
        """Read [start, end), linear."""
        return self.machine.read_linear(start, end - start)

    def step(self) -> None:
        """Execute one instruction, or one round of a repeated one."""
        self.run(1)

    def run(self, instructions: int | None) -> None:
        """Run; why the guest ended by itself, `ended` says then."""
        from emulator.errors import BudgetUsedUp

        try:
            outcome = self.machine.run(max_instructions=instructions, timeout_s=self._timeout_s)
        except BudgetUsedUp:
            return
        except EmulatorError as error:
            self.ended = str(error)
        else:
            self.ended = _ENDINGS.get(outcome.ending, "")

    def stops(self, addresses: Sequence[int]) -> Iterator[tuple[State, int]]:
        """Go from one of *addresses* to the next: yield the registers at each, and instructions executed before its block."""
        waiting: list[tuple[State, int]] = []
        machine = self.machine

        def reached(_kind: int, _esp: int, eax: int) -> int:
            waiting.append((self.state(), machine.interrupts.now_ns() // machine.interrupts.instruction_ns))
            if len(waiting) == _BATCH:
                machine.stop()
            return eax

        for address in addresses:
            machine.observers.probe(address, reached)
        while not self.ended:
            self.run(None)
            if not waiting and not self.ended:
                self.ended = f"the kernel here enters no function for {self._timeout_s:g} s"
            yield from waiting
            waiting.clear()
