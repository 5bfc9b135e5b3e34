"""One PC: a kernel image in RAM, a CPU at its entry, devices on its ports."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self

from emulator.boot_protocol.multiboot import BOOTLOADER_MAGIC, find_header
from emulator.boot_protocol.multiboot_info import place_boot_info
from emulator.devices.debug_console import DebugConsole
from emulator.devices.debug_exit import DebugExit
from emulator.devices.uart import Uart
from emulator.devices.vga_text import VgaText, screen_lines
from emulator.errors import (
    BudgetUsedUp,
    EmulatorError,
    GuestStopped,
    HostError,
    NotEmulated,
    NotMultiboot,
    UnknownFunction,
)
from emulator.machine.core_types import Reason
from emulator.machine.cpu import RUNS, Cpu
from emulator.machine.faults import (
    exact_address,
    guest_stopped,
    instructions_before,
    undelivered,
)
from emulator.machine.interrupts import Interrupts
from emulator.machine.memory import (
    DEFAULT_RAM,
    MIB,
    ROM_START,
    PhysicalMemory,
    RamWindow,
    check_ram,
)
from emulator.machine.ports import PortBus
from emulator.x86 import LONGEST_INSTRUCTION, PAGE_SIZE, WORD_MAX, Eflags, Vector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from emulator.boot_protocol.multiboot_info import Module
    from emulator.devices.device import Device
    from emulator.loader.image import KernelImage
    from emulator.machine.core_types import Stop
    from emulator.machine.interrupts import Fault
    from emulator.machine.recording import Recording
    from emulator.machine.refusals import Refusals

_VGA_START = 0xA0000
_SCREEN, _SCREEN_SIZE = 0xB8000, 80 * 25 * 2

# In the extended BIOS data area, which the memory map keeps from the kernel.
_GDT = 0x9FC00
_GDT_ENTRIES = struct.pack("<QQQ", 0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF)  # null, flat code, flat data
_RETURN_TO = 0x9FD00  # holds `hlt`: where functions called from Python return to
_FIRST_STACK = 0x9000  # Multiboot leaves ESP undefined; some kernels count on one
_KERNEL_BASES = (0, 0x80000000, 0xC0000000)
CALLS_END = frozenset(base | _RETURN_TO for base in _KERNEL_BASES)
"""Return addresses of functions that `Machine.call` calls."""

_HLT = b"\xf4"
_INT_N = 0xCD
_INT_1_BYTE = {0xCC: Vector.BREAKPOINT, 0xCE: Vector.OVERFLOW}  # int3, into
_HANDLER_STACK = 1 << 16  # bytes; more than any handler of an exception is likely to need

EVENTS_MAX = WORD_MAX

OUTPUT_KEPT = 16 << 20
"""Bytes of each console that `Machine.output` keeps; `on_output` gets all, however long a kernel talks."""


class Console(Enum):
    """Where the guest's output comes from."""

    SERIAL = 0  # COM1
    DEBUG = 1  # port 0xE9


class Ending(Enum):
    """How a run ended by itself."""

    EXIT = "exit"  # through the debug exit device
    HALTED = "halted"  # hlt with nothing left that could wake the CPU
    EVENT = "event"  # at the event that `run` was asked to stop at
    ASKED = "asked"  # by `Machine.stop`


class Outcome(NamedTuple):
    """A run that ended by itself.

    Attributes:
        exit_code: What QEMU would exit with, (value << 1) | 1; None after a halt.
        eip: Of the next instruction.
        instructions: Executed by the run; an exit counts to the end of its translated block.
    """

    ending: Ending
    exit_code: int | None
    eip: int
    instructions: int

    @property
    def exit_value(self) -> int | None:
        """What the kernel wrote to the debug exit device (7 bits); 0 is success."""
        return None if self.exit_code is None else self.exit_code >> 1


class LayerModes(Protocol):
    """How the layers of a machine's kernel run (`emulator.hle.layers`). That belongs to the state of the machine."""

    def save(self) -> object:
        """Return the state now, for `restore`."""

    def restore(self, state: object) -> None:
        """Go back to a state; None is that of a machine whose layers all run native. RAM has gone back by itself."""

    def open_call(self) -> str:
        """Return what has to be said of a call that the guest is in, for people; empty if there is nothing."""


class Snapshot:
    """A state of the machine to come back to; made by `Machine.snapshot`.

    As a context manager it comes back at the end of the block and is gone then.
    """

    __slots__ = (
        "_bus",
        "_cpu",
        "_devices",
        "_interrupts",
        "_layers",
        "_machine",
        "_number",
        "_output",
        "_time",
    )

    def __init__(self, machine: Machine, bus: PortBus) -> None:
        machine.check_rests("snapshot()")
        machine.cpu.flush_console()
        self._machine = machine
        self._cpu = machine.cpu
        self._bus = bus
        self._output = tuple((text, len(text)) for text in machine.output.values())
        self._devices = bus.save()
        self._interrupts = machine.interrupts
        self._time = machine.interrupts.save()
        self._layers = machine.layers.save() if machine.layers is not None else None
        self._number = machine.cpu.snapshot()

    def reset(self) -> None:
        """Put the machine back: memory, CPU, devices, collected output, how layers run. Snapshots taken since are gone.

        Raises:
            ValueError: The machine runs.
            HostError: The snapshot is gone itself.
        """
        self._machine.check_rests("reset()")
        self._cpu.reset(self._number)
        if self._machine.layers is not None:
            self._machine.layers.restore(self._layers)
        self._interrupts.restore(self._time)
        self._bus.restore(self._devices)
        for text, size in self._output:
            del text[size:]

    def page_written(self, physical: int) -> bool:
        """Whether the page at *physical* was written between this snapshot and the next one inside it."""
        return self._cpu.page_written(self._number, physical)

    def pages_written(self) -> dict[int, bytes]:
        """What was written from here to the next snapshot inside this one: address of a page -> its bytes here."""
        return self._cpu.pages_written(self._number)

    def discard(self) -> None:
        """Forget this snapshot and those taken inside it; the machine stays as it is.

        Raises:
            ValueError: The machine runs.
            HostError: The snapshot is gone already.
        """
        self._machine.check_rests("discard()")
        self._cpu.discard(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.reset()
        self.discard()


class Machine:
    """A PC with a kernel loaded, ready to run.

    Args:
        image: The kernel. Its segments are in RAM, `.bss` cleared.
        ram: Extended RAM. The first MiB is always there: RAM up to 0xA0000, video memory, ROM that reads as zero.
        command_line: For the kernel, after its own name.
        modules: Multiboot modules.
        mmu: ``fast`` (the core's) or ``reference`` (Unicorn's own; slower, for comparison).
        on_output: Called with the guest's output as it appears.

    Attributes:
        memory: Physical memory.
        output: What the guest wrote so far, by console; of each the first `OUTPUT_KEPT` bytes.
        recording: Of the calls of some functions, as long as there is one; set by `emulator.machine.recording`.
        refusals: Decides which allocations fail; None: none does.
        layers: How the kernel's layers run, where they have been attached; set by `emulator.hle.layers`.

    Raises:
        BadImage: The kernel does not fit into *ram*.
        BootInfoDoesNotFit: Modules or command line do not.
        NotMultiboot: There are modules or a command line, but no Multiboot header.
        HostError: The host cannot give the memory.
        ValueError: *ram* is no possible window.
    """

    def __init__(
        self,
        image: KernelImage,
        *,
        ram: RamWindow = DEFAULT_RAM,
        command_line: str = "",
        modules: Sequence[Module] = (),
        mmu: Literal["fast", "reference"] = "fast",
        on_output: Callable[[Console, bytes], None] | None = None,
    ) -> None:
        self.image = image
        self.ram = check_ram(ram)
        self.mmu = mmu
        low = (0, _VGA_START)
        image.check_fits((low, ram))
        self.cpu = Cpu(ram.end, reference=mmu == "reference", client=self)
        self.memory = PhysicalMemory(self.cpu.memory)
        self.interrupts = Interrupts(self.cpu)
        self.output = {console: bytearray() for console in Console}
        self._on_output = on_output
        self._exit_code: int | None = None
        self._probes: list[Callable[[int, int, int], int]] = []
        self.recording: Recording | None = None
        self.refusals: Refusals | None = None
        self.layers: LayerModes | None = None
        self._each_call: Callable[[], None] = _do_nothing
        self._pause: Callable[[], None] = _do_nothing
        self._pause_left: int | None = None  # instructions
        self._stop_asked = False
        self._runs = False
        self._map()
        self._load(command_line, modules)
        self._bus = PortBus(self.cpu, self._devices())

    # -- putting it together -----------------------------------------------------------------------

    def _map(self) -> None:
        self.cpu.map_ram(0, ROM_START)
        self.cpu.map_rom(ROM_START, MIB)
        self.cpu.map_ram(self.ram.start, self.ram.end)

    def _devices(self) -> tuple[tuple[Device, int], ...]:
        def sent(console: Console) -> Callable[[bytes], None]:
            return lambda data: self.on_console(console.value, data)

        return (
            (Uart(sent(Console.SERIAL)), Console.SERIAL.value),
            (DebugConsole(sent(Console.DEBUG)), Console.DEBUG.value),
            (DebugExit(self._exit), 0),
            (VgaText(), 0),
            (self.interrupts.pic, 0),
            (self.interrupts.pit, 0),
        )

    def _load(self, command_line: str, modules: Sequence[Module]) -> None:
        image, memory = self.image, self.memory
        for segment in image.segments:
            memory.write(segment.physical, segment.data)  # fresh RAM is zero, and so is .bss
        memory.write(_GDT, _GDT_ENTRIES)
        memory.write(_RETURN_TO, _HLT)
        eax = ebx = 0
        if find_header(image.data, image.path):
            occupied = [(segment.physical, segment.end) for segment in image.segments]
            placement = place_boot_info(self.ram.end, occupied, image.name, command_line, modules)
            for address, data in placement.pieces:
                memory.write(address, data)
            eax, ebx = BOOTLOADER_MAGIC, placement.info_address
        elif command_line or modules:
            raise NotMultiboot(image.path, "modules" if modules else "a command line")
        self.cpu.set_flat_segments(_GDT, len(_GDT_ENTRIES) - 1)
        registers = self.cpu.registers()
        self.cpu.set_registers(
            registers._replace(
                eax=eax, ebx=ebx, esp=_FIRST_STACK, eip=image.physical_entry, eflags=Eflags.ALWAYS_SET
            )
        )

    # -- running -----------------------------------------------------------------------------------

    def run(
        self,
        *,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
        stop_at_event: int | None = None,
        stop_at_allocation: int | None = None,
    ) -> Outcome:
        """Run until the guest exits or halts for good.

        Args:
            max_instructions: Budget, exact; with 0 nothing is executed.
            timeout_s: Budget in seconds of the host.
            stop_at_event: Number of an event of the recording (`emulator.machine.recording`). When a function's entry is
                reached, the machine stands at its first instruction; after a return, behind the call.
            stop_at_allocation: 1 for the next call of a recorded function that `takes`, 2 for the one after it, and so
                on. The machine then stands at the function's first instruction.

        Raises:
            BudgetUsedUp: A budget is used up. The machine can go on with another call.
            GuestStopped: The guest cannot go on; the subclasses say why.
            KeyboardInterrupt: Ctrl-C, also one that came when the run before had just ended by itself.
            ValueError: A budget is below nothing, or the machine runs: it was called from a callback.
        """
        self.check_rests("run()")
        self._check_budgets(max_instructions, timeout_s)
        self._exit_code = None
        self._stop_asked = False
        executed = 0
        self.cpu.stop_at_event(stop_at_event or 0)
        last = self.cpu.allocation_count() + stop_at_allocation if stop_at_allocation else 0
        with self._one_run(), self.cpu.time_limit(timeout_s):
            while True:
                if self._refuse() and self.cpu.event_count() == stop_at_event:
                    return Outcome(Ending.EVENT, None, self.cpu.registers().eip, executed)
                self._stop_at_allocation(last)
                left = None if max_instructions is None else max_instructions - executed
                self.cpu.set_clock(self.interrupts.now_ns(), self.interrupts.instruction_ns)
                stop = self._count_exactly(self.cpu.run(left, self._slice()))
                executed += stop.instructions
                self.interrupts.ran(stop.instructions)
                self.cpu.raise_pending()
                self._pause_if_due(stop.instructions)
                outcome = self._go_on(
                    stop._replace(instructions=executed),
                    budget_left=left is None or stop.instructions < left,
                )
                if outcome is not None and not self._asks_only(outcome, stop_at_event, last):
                    return outcome

    def _check_budgets(self, max_instructions: int | None, timeout_s: float | None) -> None:
        if max_instructions is not None and max_instructions < 0:
            raise ValueError(f"a budget of {max_instructions} instructions")
        if timeout_s is not None and not timeout_s >= 0:
            raise ValueError(f"a budget of {timeout_s:g} seconds")
        if max_instructions == 0:
            eip = self.cpu.registers().eip
            raise BudgetUsedUp("budget of 0 instructions used up", eip, self.image.location(eip))

    @contextmanager
    def _one_run(self) -> Iterator[None]:
        self._runs = True
        try:
            yield
        finally:
            self._runs = False

    def check_rests(self, what: str) -> None:
        """Refuse what would change the machine below a run that goes on.

        Args:
            what: The function that was called, as its caller knows it.

        Raises:
            ValueError: The machine runs: a callback was called, and has called this.
        """
        if self._runs:
            raise ValueError(RUNS.format(what))

    def _refuse(self) -> bool:
        """Let the allocation at which the machine stands fail, if it is to."""
        number = self.cpu.at_allocation()
        result = self.refusals.answer(number) if number and self.refusals is not None else None
        if result is None:
            return False
        self.cpu.return_from(result)
        return True

    def _stop_at_allocation(self, last: int) -> None:
        """Say at which allocation the CPU is to stop: number *last* (0: none), or one before it that may have to fail."""
        count = self.cpu.allocation_count()
        asked = self.refusals.next_after(count) if self.refusals is not None else 0
        self.cpu.stop_at_allocation(min((each - count for each in (last, asked) if each > count), default=0))

    def _asks_only(self, outcome: Outcome, event: int | None, allocation: int) -> bool:
        """Whether the run stands at an event only because an allocation may have to fail."""
        asked = outcome.ending is Ending.EVENT and self.refusals is not None
        return asked and self.cpu.event_count() != event and self.cpu.at_allocation() != (allocation or -1)

    def return_from_function(self, result: int) -> None:
        """Leave the recorded function at whose entry the last run has ended: it did nothing but return *result*.

        Args:
            result: EAX, unsigned.

        Raises:
            ValueError: The last run ended elsewhere, or the machine runs.
        """
        self.check_rests("return_from_function()")
        self.cpu.return_from(result)

    def pause_after(self, instructions: int, callback: Callable[[], None]) -> None:
        """Call back once from a run: when so many more instructions have been executed, at the next block.

        The guest does not notice, and the place depends on nothing but the guest.
        """
        self._pause_left, self._pause = instructions, callback

    def stop(self) -> None:
        """End the run that goes on, before long; for callbacks."""
        self._stop_asked = True
        self.cpu.request_stop()

    def at_calls(self, every: int, callback: Callable[[], None]) -> None:
        """Call back at the entry of each *every*-th recorded call, before it does anything; 0: no more.

        The callback may look at the machine, but not change it.
        """
        self._each_call = callback
        self.cpu.tell_every(every)

    def _slice(self) -> int | None:
        slices = [each for each in (self.interrupts.slice(), self._pause_left) if each is not None]
        return min(slices, default=None)

    def _pause_if_due(self, executed: int) -> None:
        if self._pause_left is None:
            return
        self._pause_left -= executed
        if self._pause_left <= 0:
            self._pause_left = None
            self._pause()

    def _go_on(self, stop: Stop, *, budget_left: bool) -> Outcome | None:
        """After a stop of the CPU: how the run ended, or None if it goes on."""
        match stop.reason:
            case Reason.ASKED if self._exit_code is not None:
                return Outcome(Ending.EXIT, self._exit_code, stop.eip, stop.instructions)
            case Reason.EVENT if self.cpu.event_count() < EVENTS_MAX:
                return Outcome(Ending.EVENT, None, stop.eip, stop.instructions)
            case Reason.HALTED if stop.eip - 1 in CALLS_END or not self._wakes():
                return Outcome(Ending.HALTED, None, stop.eip, stop.instructions)
            case Reason.EXCEPTION | Reason.ASKED | Reason.HALTED | Reason.SLICE | Reason.IRQ:
                self._deliver(stop)
            case Reason.INTERRUPTED:
                raise KeyboardInterrupt
            case _:
                raise self._error(stop)
        if not budget_left:
            raise self._error(stop._replace(reason=Reason.INSTRUCTIONS, eip=self.cpu.registers().eip))
        if self._stop_asked:
            return Outcome(Ending.ASKED, None, self.cpu.registers().eip, stop.instructions)
        return None

    def _wakes(self) -> bool:
        """Whether an interrupt will end the CPU's halt; if so, it is pending now."""
        return bool(self.cpu.registers().eflags & Eflags.IF) and self.interrupts.skip_idle()

    def _deliver(self, stop: Stop) -> None:
        """Let the guest enter its handler of an exception, or of an interrupt that is pending."""
        if stop.reason is Reason.EXCEPTION:
            length = self._int_length(stop)
            failed = self.interrupts.deliver_exception(stop, self._accessed(stop), length=length)
        else:
            failed = self.interrupts.take()
        if failed:
            location = self.image.location(stop.eip)
            raise self._in_call(undelivered(stop, location, self._accessed(stop), failed, self))

    def _int_length(self, stop: Stop) -> int:
        """Length of the `int n` or its like that raised an exception; 0: it is a fault. Such an instruction ends its block."""
        if stop.pc != stop.block + stop.block_size & WORD_MAX:
            return 0
        before = self.read_linear(stop.pc - 2 & WORD_MAX, 2).ljust(2, b"\0")
        if before[0] == _INT_N and before[1] == stop.vector:
            return 2
        return 1 if _INT_1_BYTE.get(before[1]) == stop.vector else 0

    def _accessed(self, stop: Stop) -> int:
        """What a failed access touched, as exactly as the instruction tells."""
        if stop.reason is Reason.UNMAPPED or (
            stop.reason is Reason.EXCEPTION and stop.vector == Vector.PAGE_FAULT
        ):
            code = self.read_linear(stop.pc, LONGEST_INSTRUCTION)
            exact = exact_address(code, self.cpu.registers(), stop.linear, stop.access)
            return stop.address | exact & (PAGE_SIZE - 1)
        return stop.address

    def _count_exactly(self, stop: Stop) -> Stop:
        """Count of a block that failed in the middle only what was executed."""
        last = stop.address if stop.reason is Reason.EVENT else stop.pc
        stopped_inside = (
            stop.reason in (Reason.UNMAPPED, Reason.EXCEPTION, Reason.EVENT)
            and stop.block_instructions
            and stop.block <= last < stop.block + stop.block_size
        )
        if not stopped_inside:
            return stop
        code = self.read_linear(stop.block, stop.block_size)
        done = instructions_before(code, last - stop.block, stop.block_instructions)
        return stop._replace(instructions=stop.instructions - stop.block_instructions + done)

    def _error(self, stop: Stop) -> EmulatorError:
        location = self.image.location(stop.eip)
        if stop.reason is Reason.NO_MEMORY:
            return HostError("the host has no memory left for what is recorded of the run")
        if stop.reason is Reason.FAILED and ROM_START <= (self.cpu.translate(stop.pc) or 0) < MIB:
            problem = "kmemu has no BIOS: a jump into its ROM"
            return self._in_call(NotEmulated(problem, stop.eip, location, stop.instructions))
        return self._in_call(guest_stopped(stop, location, self._accessed(stop)))

    def _in_call(self, error: GuestStopped) -> GuestStopped:
        """Let an error say what call of the layers the guest is in, if that matters."""
        remark = "" if self.layers is None else self.layers.open_call()
        if remark:
            error.add_remark(remark)
        return error

    def call(
        self,
        function: str | int,
        *arguments: int,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Call a function of the guest and return EAX.

        The registers are as before afterwards; memory is what the function made of it. After an error the machine
        stands where the function stopped.

        Args:
            function: Its symbol or address.
            arguments: 32-bit words, signed or unsigned, pushed as cdecl has it.
            max_instructions: Budget; after `BudgetUsedUp` the machine stands inside the function.
            timeout_s: Budget in seconds of the host.

        Raises:
            UnknownFunction: The kernel has no such symbol.
            GuestStopped: The function did not return.
            ValueError: The machine runs: it was called from a callback.
        """
        self.check_rests("call()")
        before = self.cpu.registers()
        esp = before.esp - 4 * len(arguments) - 4 & WORD_MAX
        return_to = self._return_address()
        frame = struct.pack(f"<{len(arguments) + 1}I", return_to, *(word & WORD_MAX for word in arguments))
        self.write_linear(before.on_stack(esp), frame)
        self.cpu.set_registers(before._replace(esp=esp, eip=self.address_of(function)))
        outcome = self.run(max_instructions=max_instructions, timeout_s=timeout_s)
        if outcome.eip != return_to + 1:
            location = self.image.location(outcome.eip)
            text = f"{function} did not return: the kernel {_DID[outcome.ending]}"
            raise self._in_call(GuestStopped(text, outcome.eip, location))
        eax = self.cpu.registers().eax
        self.cpu.set_registers(before)
        return eax

    def _return_address(self) -> int:
        """Where the page with the `hlt` that ends a call is mapped: as it is, or where kernels map physical memory.

        Raises:
            GuestStopped: It is mapped nowhere there.
        """
        registers = self.cpu.registers()
        for base in _KERNEL_BASES:
            if self.cpu.translate(registers.cs_base + (base | _RETURN_TO) & WORD_MAX) == _RETURN_TO:
                return base | _RETURN_TO
        eip = registers.eip
        raise GuestStopped("no call is possible: low memory is not mapped", eip, self.image.location(eip))

    def address_of(self, function: str | int) -> int:
        """The address of a function given by symbol; an address is returned as it is.

        Raises:
            UnknownFunction: The kernel has no such symbol.
        """
        if isinstance(function, int):
            return function
        symbol = self.image.symbol(function)
        if symbol is None:
            raise UnknownFunction(self.image.path, function)
        return symbol.address

    # -- state -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Keep the state of the machine. Snapshots nest; going back costs microseconds.

        Raises:
            ValueError: The machine runs.
            HostError: More than 64 nested ones, or no memory left.
        """
        return Snapshot(self, self._bus)

    def screen(self) -> list[str]:
        """The VGA text screen, line by line, without trailing blanks."""
        return screen_lines(self.memory.view(_SCREEN, _SCREEN_SIZE))

    def write_linear(self, address: int, data: bytes) -> None:
        """Write at a linear address, through the guest's page tables.

        Raises:
            GuestStopped: A page is not mapped.
        """
        while data:
            physical = self.cpu.translate(address)
            if physical is None:
                eip = self.cpu.registers().eip
                raise GuestStopped(f"0x{address:08x} is not mapped", eip, self.image.location(eip))
            size = min(len(data), PAGE_SIZE - address % PAGE_SIZE)
            self.memory.write(physical, data[:size])
            address, data = address + size & WORD_MAX, data[size:]

    def read_linear(self, address: int, size: int) -> bytes:
        """Read at a linear address, through the guest's page tables: *size* bytes, fewer where nothing is mapped."""
        data = b""
        while len(data) < size:
            physical = self.cpu.translate(address + len(data) & WORD_MAX)
            if physical is None or physical >= len(self.memory):
                break
            data += self.memory.read(physical, min(size - len(data), PAGE_SIZE - physical % PAGE_SIZE))
        return data

    def fault_in_hand(self) -> Fault | None:
        """The exception whose handler the guest has not left again: it reports it, most likely, or has died of it."""
        fault = self.interrupts.last_fault
        registers = self.cpu.registers()
        if fault is None or not 0 <= fault.frame - registers.esp < _HANDLER_STACK:
            return None
        pushed = self.read_linear(registers.on_stack(fault.frame), 4)
        return fault if int.from_bytes(pushed, "little") == fault.eip else None

    # -- probes ------------------------------------------------------------------------------------

    def add_callback(self, callback: Callable[[int, int, int], int]) -> int:
        """Give a callback (kind, esp, eax) -> eax a number, for `Cpu.add_probe`."""
        self._probes.append(callback)
        return len(self._probes) - 1

    def print_for_guest(self, text: str) -> None:
        """Put text on COM1 as if the guest had sent it at this moment."""
        self.cpu.flush_console()
        self.on_console(Console.SERIAL.value, text.encode("latin-1"))

    # -- what the CPU calls (emulator.machine.cpu.CpuClient) -----------------------------------------

    def on_port_read(self, port: int, size: int) -> int:
        """A port is read that the core does not answer."""
        return self._bus.read(port, size)

    def on_port_write(self, port: int, size: int, value: int) -> None:
        """A port is written that the core does not answer."""
        self._bus.write(port, size, value)

    def on_console(self, number: int, data: bytes) -> None:
        """Output of the guest."""
        console = Console(number)
        kept = self.output[console]
        kept += data[: OUTPUT_KEPT - len(kept)]
        if self._on_output is not None:
            self._on_output(console, data)

    def on_probe(self, number: int, kind: int, esp: int, eax: int) -> int:
        """A probe with a callback is reached."""
        return self._probes[number](kind, esp, eax)

    def on_calls(self) -> None:
        """The rows of recorded calls are full."""
        if self.recording is not None:
            self.recording.flush()

    def on_entered(self) -> None:
        """A recorded function is entered that was to be told."""
        self._each_call()

    def _exit(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self.cpu.request_stop()


def _do_nothing() -> None:
    """Nobody has asked to be called."""


_DID = {Ending.EXIT: "exited", Ending.HALTED: "halted", Ending.ASKED: "was stopped"}
