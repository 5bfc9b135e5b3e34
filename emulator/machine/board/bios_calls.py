"""The BIOS of a machine: its services see registers, memory and ports as the guest that called them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from emulator.bios.services import serve
from emulator.errors import NotEmulated
from emulator.machine.board.device_memory import DeviceMemory
from emulator.machine.core.handle import ffi, lib
from emulator.wording import code_location
from emulator.x86 import PAGE_SIZE, Cr0, Eflags

if TYPE_CHECKING:
    from emulator.loader.image import KernelImage
    from emulator.machine.board.interrupts import Pic
    from emulator.machine.board.ports import PortBus
    from emulator.machine.core.cpu import Cpu
    from emulator.machine.core.handle import Core
    from emulator.machine.linear_memory import LinearMemory
    from emulator.machine.unanswered import Unanswered

_SEGMENT = 0xF0000
_CALL_NS = 10_000  # of virtual time; an instruction that a service does not need takes 10
_GENERAL = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")


class BiosCalls:
    """Hands calls of the guest to the BIOS; see `emulator.bios.pc.Pc`.

    Args:
        core: Of the machine.
        cpu: Whose registers change.
        linear: Memory, as the guest sees it.
        ports: Of the devices.
        pic: The interrupt controllers.
        unanswered: Counts what the BIOS lacks.
        image: The kernel, to name locations.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a BIOS works on
        self,
        core: Core,
        cpu: Cpu,
        linear: LinearMemory,
        ports: PortBus,
        pic: Pic,
        unanswered: Unanswered,
        image: KernelImage,
    ) -> None:
        self._core, self._cpu = core, cpu
        self._linear, self._dma = linear, DeviceMemory(core)
        self._ports, self._pic = ports, pic
        self._unanswered = unanswered
        self._image = image
        self.ram_end = len(core.memory)

    def serve(self) -> None:
        """Serve the call that the CPU stands at.

        Raises:
            NotEmulated: It is none: a jump to anywhere in the ROM, or from protected mode.
        """
        registers = self._cpu.registers()
        is_real = not registers.cr0 & Cr0.PE or registers.eflags & Eflags.VM
        at = self._cpu.translate(registers.pc)
        call = serve(at - _SEGMENT, self, registers._asdict()) if is_real and at is not None else None
        if call is None:
            self._fail("kmemu does not have code of a BIOS: a jump into its ROM")
        if call.es is not None:
            lib.kc_bios_load_es(self._core.raw, call.es)
        answer = ffi.new("kc_registers *", {name: call.registers[name] for name in _GENERAL})
        answer.eip = registers.eip + call.goes_on
        lib.kc_bios_return(self._core.raw, answer)

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes of memory from a linear address on.

        Raises:
            NotEmulated: A page is not mapped.
        """
        data = self._linear.read(address, size)
        if len(data) < size:
            self._fail(
                f"kmemu does not have page faults in the BIOS: 0x{address + len(data):08x} is not mapped"
            )
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write to memory from a linear address on.

        Raises:
            NotEmulated: A page is not mapped.
        """
        while data:
            physical = self._cpu.translate(address)
            if physical is None:
                self._fail(f"kmemu does not have page faults in the BIOS: 0x{address:08x} is not mapped")
            size = PAGE_SIZE - address % PAGE_SIZE
            self._dma.write(physical, data[:size])
            address, data = address + size, data[size:]

    def read_physical(self, address: int, size: int) -> bytes:
        """Return *size* bytes of physical memory; zeroes where none is."""
        return self._dma.read(address, size)

    def write_physical(self, address: int, data: bytes) -> None:
        """Write to physical memory, where any is."""
        self._dma.write(address, data)

    def read_port(self, port: int, size: int = 1) -> int:
        """Read from a port: 1, 2 or 4 bytes."""
        return self._pic.read_port(port, size) if port in self._pic.ports else self._ports.read(port, size)

    def write_port(self, port: int, value: int, size: int = 1) -> None:
        """Write to a port: 1, 2 or 4 bytes."""
        if port in self._pic.ports:
            self._pic.write_port(port, size, value)
        else:
            self._ports.write(port, size, value)

    def has_port(self, port: int) -> bool:
        """Return whether a device answers at a port."""
        return self._ports.has(port)

    def pass_time(self) -> None:
        """Let the virtual time pass that a call takes."""
        lib.kc_clock_skip_to(self._core.raw, lib.kc_clock_ns(self._core.raw) + _CALL_NS)

    def lacks(self, service: str) -> None:
        """Note that a service was asked for that there is none of."""
        self._unanswered.note_service(service, self._caller())

    def refuse(self, what: str) -> NoReturn:
        """End the run, for kmemu does not have this.

        Raises:
            NotEmulated: Always.
        """
        self._fail(f"kmemu does not have {what}")

    def _caller(self) -> int:
        """Return where the call of the BIOS returns to, as a linear address."""
        registers = self._cpu.registers()
        frame = self._linear.read(registers.ss_base + (registers.esp & 0xFFFF), 4)
        ip, cs = int.from_bytes(frame[:2], "little"), int.from_bytes(frame[2:], "little")
        return cs * 16 + ip

    def _fail(self, problem: str) -> NoReturn:
        eip = self._cpu.registers().eip
        raise NotEmulated(problem, eip, code_location(*self._image.location(eip)))
