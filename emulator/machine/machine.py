"""One PC: a kernel image in RAM, a CPU at its entry, devices on its ports."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from emulator.boot_protocol.boot_state import boot_state
from emulator.boot_protocol.hardware import Hardware
from emulator.devices.addresses import TEXT_MEMORY
from emulator.devices.board import pc_board
from emulator.errors import unknown_function
from emulator.machine.address_map import CALLS_END, MIB, ROM_START, VGA_START
from emulator.machine.allocations import Allocations
from emulator.machine.board.device_memory import DeviceMemory
from emulator.machine.board.interrupts import Interrupts
from emulator.machine.board.ports import DeviceStates, PortBus
from emulator.machine.board.windows import Windows
from emulator.machine.board.wiring import Wiring
from emulator.machine.consoles import Consoles
from emulator.machine.core.call_recorder import CallRecorder
from emulator.machine.core.cpu import Cpu
from emulator.machine.core.handle import Core, Mmu
from emulator.machine.core.stacks import Stacks
from emulator.machine.entry import enter, map_memory, show_kasan
from emulator.machine.execution import Execution
from emulator.machine.faults.diagnosis import Diagnosis
from emulator.machine.layer_state import LayersOf
from emulator.machine.linear_memory import LinearMemory
from emulator.machine.memory import DEFAULT_RAM, PhysicalMemory, RamWindow, check_ram
from emulator.machine.unanswered import Unanswered
from emulator.wording import code_location

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from emulator.boot_protocol.modules import Module
    from emulator.devices.board import Row
    from emulator.devices.keyboard.controller import KeyboardController
    from emulator.devices.uart import Uart
    from emulator.devices.vga.dispi import Dispi
    from emulator.devices.vga.modes import VideoMode
    from emulator.devices.vga.ports import VgaPorts
    from emulator.devices.vga.screenshot import Screenshot
    from emulator.devices.vga.text import TextScreen, VgaText
    from emulator.loader.image import KernelImage
    from emulator.machine.board.bios_calls import BiosCalls
    from emulator.machine.consoles import Console
    from emulator.machine.core.core_types import Fault, FpuRegisters, Registers
    from emulator.machine.core.observers import Observers
    from emulator.machine.core.snapshots import CoreSnapshots, Snapshot
    from emulator.machine.core.stops import Stops
    from emulator.machine.execution import Outcome
    from emulator.machine.function_calls import FunctionCalls
    from emulator.machine.layer_state import LayerModes
    from emulator.machine.recording import Recording
    from emulator.machine.until import Until
    from kernel_model.address_space import AddressSpace

_HANDLER_STACK = 1 << 16  # bytes; more than any handler of an exception is likely to need


class Machine:
    """A PC with a kernel loaded, ready to run.

    Args:
        image: The kernel. Its segments are in RAM, `.bss` cleared.
        ram: Extended RAM. The first MiB is always there: RAM up to 0xA0000, video memory, ROM.
        command_line: For the kernel, after its own name.
        modules: Multiboot modules.
        mmu: How the guest's accesses are made: ``fast`` (by single instructions of the host wherever that can be), ``ordinary`` (by the
            engine, on the core's MMU) or ``reference`` (by the engine, on its own MMU); the slower two are for comparison.
        on_output: Called with the guest's output as it appears.
        board: Its devices, besides the interrupt controllers; None: those of a PC with default settings.

    Attributes:
        memory: Physical memory.
        board: The rows of the devices.
        cpu: The CPU, for tests that change its registers.
        consoles: The guest's output, and who gets it.
        output: What the guest wrote so far, by console; of each the first `OUTPUT_KEPT` bytes.
        ports: Devices on their I/O ports.
        device: Returns a device by the name of its row of the board; ValueError: there is none.
        interrupts: Controllers, timer and clock.
        unanswered: Accesses that nothing answers.
        stacks: Unwinds call stacks, and numbers those of recorded calls.
        calls: Records calls (`emulator.machine.recording`).
        allocations: Those of the recorded calls that take memory, and who says what they return.
        recording: Of the calls of some functions, as long as there is one; set by `emulator.machine.recording`.
        modules: Physical ranges `[start, end)` of the Multiboot modules.
        layers: How the kernel's layers run, where they have been attached; set by `emulator.hle.layers`.

    Raises:
        BadImage: The kernel does not fit into *ram*, or its KASAN shadow lies there.
        BootInfoDoesNotFit: Modules or command line do not.
        KernelMismatch: There are modules or a command line, but no Multiboot header; or a KASAN shadow, and *mmu* is ``reference``.
        HostError: The host cannot give the memory.
        ValueError: *ram* is no possible window, there is no such MMU, or devices of the board get into each other's way.
    """

    def __init__(  # noqa: PLR0913 - what a machine is made of
        self,
        image: KernelImage,
        *,
        ram: RamWindow = DEFAULT_RAM,
        command_line: str = "",
        modules: Sequence[Module] = (),
        mmu: Mmu = "fast",
        on_output: Callable[[Console, bytes], None] | None = None,
        board: Iterable[Row] | None = None,
    ) -> None:
        self.image = image
        self.ram = check_ram(ram)
        self.mmu = mmu
        image.check_fits(((0, VGA_START), ram), (ROM_START, MIB))
        core = self._core = Core(ram.end, mmu)
        self.cpu = Cpu(core)
        self.memory = PhysicalMemory(core.memory, self.cpu.memory_written)
        self.consoles = Consoles(core, on_output)
        self.output = self.consoles.output
        device_states = DeviceStates()
        self.interrupts = Interrupts(core, self.cpu, device_states)
        self.stacks = Stacks(core)
        self.calls = CallRecorder(core)
        self.allocations = Allocations(core)
        self.layers: LayerModes | None = None
        self.recording: Recording | None = None
        self._linear = LinearMemory(self.cpu, self.memory, image)
        self._diagnosis = Diagnosis(image, self.cpu, self._linear, self._open_call)
        self.unanswered = Unanswered(
            core,
            lambda eip: code_location(*image.location(eip)),
            lambda port: self.ports.has(port) or port in self.interrupts.ports,
            self._recorded_at,
            self._diagnosis.undefined_instruction,
        )
        self._execution = Execution(
            core,
            self.cpu,
            self.interrupts,
            self.calls,
            self.allocations,
            self._diagnosis,
            self.unanswered,
            lambda: self._until,
        )
        self.cpu.end_at_halts(sorted(CALLS_END))
        map_memory(self.cpu, self.ram)
        show_kasan(core, image, self.ram)
        rows = self.board = pc_board() if board is None else tuple(board)
        self.ports = PortBus(core, device_states, self.interrupts.timer_moved)
        windows = Windows(core, self.cpu, device_states)
        wiring = Wiring(
            rows,
            core,
            self.interrupts,
            self.consoles,
            end=self._execution.end,
            set_a20=self.cpu.set_a20,
            memory=self.memory.buffer,
            dma=DeviceMemory(core),
            windows=windows,
            bus=self.ports,
        )
        self.device = wiring.device
        core.bios = self._serve_bios
        disks = sum(row.disks for row in rows)
        hardware = Hardware.found(self.ports.numbers, (row.mmio[0] for row in rows), disks)
        self.cpu.set_local_apic(hardware.local_apic)
        state = boot_state(image, ram.end, hardware, command_line, modules)
        self.modules = state.modules
        enter(self.cpu, self.memory, state)
        if state.mode is not None:
            self.set_video_mode(state.mode)
        self._parts = (LayersOf(self), self.ports, windows, self.consoles, self.unanswered)

    # -- running -----------------------------------------------------------------------------------

    def run(
        self,
        *,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
        stop_at_event: int | None = None,
        stop_at_allocation: int | None = None,
        until: str = "",
        until_idle: bool = False,
    ) -> Outcome:
        """Run until the guest exits or halts for good.

        Args:
            max_instructions: Budget, exact; with 0 nothing is executed.
            timeout_s: Budget in seconds of the host.
            stop_at_event: Number of an event of the recording (`emulator.machine.recording`). When a function's entry is
                reached, the machine stands at its first instruction; after a return, after the call.
            stop_at_allocation: 1 for the next call of a recorded function that `takes`, 2 for the one after it, and so
                on. The machine then stands at the function's first instruction.
            until: The run ends when a console or the text screen shows this text.
            until_idle: The run ends when the guest has done nothing but wait, for input or ticks, for two seconds of virtual time
                (`emulator.machine.until`).

        Raises:
            BudgetUsedUp: A budget is used up. The machine can go on with another call.
            GuestStopped: The guest cannot go on; the subclasses say why.
            KeyboardInterrupt: Ctrl-C, also one that came when the run before had just ended by itself.
            ValueError: A budget is below nothing, or the machine runs: it was called from a callback.
        """
        return self._execution.run(
            max_instructions,
            timeout_s,
            stop_at_event or 0,
            stop_at_allocation or 0,
            until=until,
            until_idle=until_idle,
        )

    def check_rests(self, what: str) -> None:
        """Refuse what would change the machine below a run that goes on.

        Args:
            what: The function that was called, as its caller knows it.

        Raises:
            ValueError: The machine runs: a callback was called, and has called this.
        """
        self._core.check_machine_rests(what)

    def pause_after(self, instructions: int, callback: Callable[[], None]) -> None:
        """Call back once from a run: when so many more instructions have been executed, at the next block.

        The guest does not notice, and where that is depends on nothing but the guest.
        """
        self._execution.pause_after(instructions, callback)

    def stop(self, error: BaseException | None = None) -> None:
        """End the run that goes on, before long; for callbacks.

        Args:
            error: What the run raises then; None: it ends as asked for.
        """
        if error is None:
            self._execution.stop()
        else:
            self._core.fail(error)

    def forget_stop(self) -> None:
        """Let an error that `stop` was given too late, between two runs, have no effect on what follows."""
        self._core.pending = None

    def call(
        self,
        function: str | int,
        *arguments: int,
        max_instructions: int | None = None,
        timeout_s: float | None = None,
    ) -> int:
        """Call a function of the guest and return EAX.

        The registers are as before afterwards; memory is what the function made of it. After an error the machine
        stands where the function stopped. Memory in which nothing is must not be accessed: in a test that is an error.

        Args:
            function: Its symbol or address.
            arguments: 32-bit words, signed or unsigned, pushed as cdecl has it.
            max_instructions: Budget; after `BudgetUsedUp` the machine stands inside the function.
            timeout_s: Budget in seconds of the host.

        Raises:
            KernelMismatch: The kernel has no such symbol.
            GuestStopped: The function did not return.
            ValueError: The machine runs: it was called from a callback.
        """
        return self._function_calls.call(function, arguments, max_instructions, timeout_s)

    @cached_property
    def _function_calls(self) -> FunctionCalls:
        from emulator.machine.function_calls import FunctionCalls  # not for `boot`

        return FunctionCalls(self, self._execution, self._diagnosis)

    def address_of(self, function: str | int) -> int:
        """Return the address of a function given by symbol or by name; an address is returned as it is.

        Raises:
            KernelMismatch: The kernel has no such function, or several.
        """
        if isinstance(function, int):
            return function
        symbol = self.image.symbol(function)
        if symbol is not None:
            return symbol.address
        from emulator.loader.functions.names import find_functions  # not for `boot`

        found = find_functions(self.image, function)
        if len(found) != 1:
            raise unknown_function(self.image.path, function, [each.symbol for each in found])
        return found[0].address

    # -- state -------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Keep the state of the machine. Snapshots nest; going back costs microseconds.

        Raises:
            ValueError: The machine runs.
            HostError: More than 64 nested ones, or no memory left.
        """
        from emulator.machine.core.snapshots import Snapshot  # not for `boot`

        return Snapshot(self._snapshots, self._parts)

    @cached_property
    def observers(self) -> Observers:
        """Opens probes, watchpoints, step logs and notes of written pages."""
        from emulator.machine.core.observers import Observers  # not for `boot`

        return Observers(self._core, self.stacks)

    @cached_property
    def _until(self) -> Until:
        from emulator.machine.until import Until

        return Until(
            self.cpu,
            self.interrupts,
            self.calls,
            self.consoles,
            self.observers,
            self.unanswered,
            self._text_cells,
            self._core.request_stop,
        )

    @cached_property
    def stops(self) -> Stops:
        """Ends runs exactly in front of instructions."""
        from emulator.machine.core.stops import Stops  # not for `boot`

        return Stops(self._core)

    def next_touched(self, physical: int) -> int:
        """Return the first page of memory from *physical* on, a multiple of 4096, that was ever written or read; without one the end.

        All before it is zero. To read that, too, would take as much of the host's memory.
        """
        return self._snapshots.next_touched(physical)

    @cached_property
    def _snapshots(self) -> CoreSnapshots:
        from emulator.machine.core.snapshots import CoreSnapshots

        return CoreSnapshots(self._core)

    def _text_cells(self) -> bytes:
        """Return what is to be looked at for a text; nothing on a board without a screen."""
        try:
            return self.text_screen().cells
        except ValueError:
            return b""

    def _serve_bios(self) -> None:
        self._bios.serve()

    @cached_property
    def _bios(self) -> BiosCalls:
        from emulator.machine.board.bios_calls import BiosCalls  # few kernels use real mode

        return BiosCalls(
            self._core, self.cpu, self._linear, self.ports, self.interrupts.pic, self.unanswered, self.image
        )

    def registers(self) -> Registers:
        """Return all registers of the CPU."""
        return self.cpu.registers()

    def fpu_registers(self) -> FpuRegisters:
        """Return the registers of the FPU and of SSE."""
        return self.cpu.fpu_registers()

    def translate(self, linear: int) -> int | None:
        """Return the physical address of a linear one, without side effects; None where nothing is mapped."""
        return self.cpu.translate(linear)

    def address_space(self, cr3: int | None = None) -> AddressSpace:
        """Return an address space of the guest, read from its page tables in RAM whenever it is asked.

        Args:
            cr3: Physical address of a page directory, as CR3 would hold it; it is read as CR4 says now. None: the space that is in use,
                which `is_paged` only if paging is on.

        Raises:
            GuestStopped: The CPU is in 64-bit mode, whose page tables kmemu does not read.
            ValueError: *cr3* is not a number of 32 bits.
        """
        from emulator.machine.page_tables import address_space_of  # not for `boot`

        return address_space_of(self, cr3)

    def read_linear(self, address: int, size: int) -> bytes:
        """Read at a linear address, through the guest's page tables: *size* bytes, fewer where nothing is mapped."""
        return self._linear.read(address, size)

    def write_linear(self, address: int, data: bytes) -> None:
        """Write at a linear address, through the guest's page tables.

        Raises:
            GuestStopped: A page is not mapped.
        """
        self._linear.write(address, data)

    def flush_code(self) -> None:
        """Forget all translated code, because bytes of code were changed from outside, or probes added to it."""
        self.cpu.flush_code()

    def keys(self, text: str) -> None:
        """Type on the keyboard, after what is being typed already, as soon as the guest listens.

        Args:
            text: See `emulator.devices.keyboard.key_text`.

        Raises:
            UnknownKey: It cannot be typed.
            ValueError: The board has no keyboard.
        """
        from emulator.devices.keyboard.key_text import key_events  # only here

        cast("KeyboardController", self.device("keyboard")).type(key_events(text))

    def send(self, data: bytes) -> None:
        """Send bytes to COM1. They wait on the line until the guest reads them.

        Raises:
            ValueError: The board has no COM1.
        """
        cast("Uart", self.device("COM1")).feed(data)

    def screen(self) -> list[str]:
        """Return the VGA text screen, line by line, without trailing blanks; see `text_screen`."""
        return self.text_screen().lines()

    def text_screen(self) -> TextScreen:
        """Return the VGA's text, where it shows text; in a graphics mode, what would be seen in text mode 3.

        Raises:
            ValueError: The board has no VGA.
        """
        from emulator.devices.vga.text import VgaText  # only here

        crtc = VgaText() if self.shows_graphics else cast("VgaText", self.device("CRTC"))
        return crtc.screen(self.memory.buffer[slice(*TEXT_MEMORY)])

    @property
    def shows_graphics(self) -> bool:
        """Whether the VGA is in a graphics mode.

        Raises:
            ValueError: The board has no VGA.
        """
        return cast("VgaPorts", self.device("VGA")).shows_graphics

    def screenshot(self) -> Screenshot:
        """Return a picture of what the screen shows, text or graphics.

        Raises:
            ValueError: The board has no VGA.
        """
        from emulator.devices.vga.screenshot import Adapter  # only here

        vga, crtc = cast("VgaPorts", self.device("VGA")), cast("VgaText", self.device("CRTC"))
        mode = cast("Dispi", self.device("graphics")).mode
        text = self.memory.buffer[slice(*TEXT_MEMORY)]
        return Adapter(vga.registers, crtc.registers, mode, vga.video.view(), text).screenshot()

    def set_video_mode(self, mode: VideoMode) -> None:
        """Set a graphics mode, as a BIOS does."""
        cast("Dispi", self.device("graphics")).set_mode(mode.width, mode.height, mode.depth)

    def fault_in_hand(self) -> Fault | None:
        """Return the exception whose handler the guest has not left again: it reports it, most likely, or has died of it."""
        fault = self.interrupts.last_fault
        registers = self.registers()
        if fault is None or not 0 <= fault.frame - registers.esp < _HANDLER_STACK:
            return None
        pushed = self.read_linear(registers.on_stack(fault.frame), 4)
        return fault if int.from_bytes(pushed, "little") == fault.eip else None

    def _recorded_at(self, eip: int) -> tuple[int, str, tuple[int, ...]]:
        """Return the newest event, the innermost recorded function on the call stack of an instruction, "" for none, and that stack."""
        event = self.calls.event_count
        if self.recording is None:
            return event, "", ()
        callers = self.stacks.callers(eip).return_addresses
        if not self.calls.open_calls:
            return event, "", callers
        names = self.recording.names
        found = (self.image.function_at(address) for address in (eip, *(each - 1 for each in callers)))
        entries = (each[0].address for each in found if each)
        return event, next((names[address] for address in entries if address in names), ""), callers

    def _open_call(self) -> str:
        return "" if self.layers is None else self.layers.open_call()
