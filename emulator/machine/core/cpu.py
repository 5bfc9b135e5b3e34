"""The CPU proper: registers, address translation, runs, and what became of interrupts."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from emulator.errors import HostError
from emulator.machine.core.core_types import (
    Access,
    Attempt,
    DeliveryKind,
    Fault,
    FpuRegisters,
    Reason,
    Registers,
    Stop,
    UsedDirectory,
)
from emulator.machine.core.handle import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from emulator.machine.core.handle import Core

_REGISTER_WORDS = struct.Struct(f"<{len(Registers._fields)}I")  # kc_registers has the same order
_FPU_WORDS = struct.Struct("<9I")  # kc_fpu begins with the words of `FpuRegisters`
_STOP = struct.Struct("i4IQI2iQ3I")  # kc_stop has the order of `Stop`
_REASON, _ACCESS, _PROBLEM = (Stop._fields.index(name) for name in ("reason", "access", "problem"))
_HALTED = int(Reason.HALTED)
_REASONS, _ACCESSES = {int(each): each for each in Reason}, tuple(Access)  # by their numbers


class Cpu:
    """One i386 CPU.

    Args:
        core: Of the machine.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._stop = ffi.new("kc_stop *")
        self._stop_bytes = memoryview(ffi.buffer(self._stop))
        self._registers = ffi.new("kc_registers *")
        self._register_bytes = memoryview(ffi.buffer(self._registers))
        self._before_call = ffi.new("kc_registers *")

    # -- memory and registers ----------------------------------------------------------------------

    def map_ram(self, start: int, end: int) -> None:
        """Make [start, end) usable."""
        self._core.check_rests("map_ram()")
        self._core.check(lib.kc_map_ram(self._core.raw, start, end))

    def map_rom(self, start: int, end: int, *, has_code: bool = False) -> None:
        """Make [start, end) read as what memory holds there, and ignore writes. Code runs in one such range only, the BIOS's."""
        self._core.check_rests("map_rom()")
        self._core.check(lib.kc_map_rom(self._core.raw, start, end, has_code))

    def map_device(self, start: int, end: int) -> int:
        """Let a device answer accesses to [start, end), outside of RAM. Return the window's number, from 0."""
        self._core.check_rests("map_device()")
        return self._core.opened(lib.kc_map_device(self._core.raw, start, end))

    def set_flat_segments(self, gdt_base: int, gdt_limit: int) -> None:
        """Enter flat 32-bit protected mode: code segment 0x08, all data segments 0x10."""
        self._core.check_rests("set_flat_segments()")
        self._core.check(lib.kc_set_flat(self._core.raw, gdt_base, gdt_limit))

    def registers(self) -> Registers:
        """Return all registers."""
        lib.kc_get_registers(self._core.raw, self._registers)
        return Registers._make(_REGISTER_WORDS.unpack(self._register_bytes))

    def fpu_registers(self) -> FpuRegisters:
        """Return the registers of the FPU and of SSE."""
        found = ffi.new("kc_fpu *")
        lib.kc_get_fpu(self._core.raw, found)
        words = _FPU_WORDS.unpack_from(ffi.buffer(found))
        stack, xmm = (
            tuple(int.from_bytes(ffi.buffer(each), "little") for each in values)
            for values in (found.stack, found.xmm)
        )
        return FpuRegisters._make((*words, stack, xmm))

    def set_registers(self, registers: Registers) -> None:
        """Write the general registers, EIP and EFLAGS; the others are left alone."""
        self._core.check_rests("set_registers()")
        _REGISTER_WORDS.pack_into(self._register_bytes, 0, *registers)
        lib.kc_set_registers(self._core.raw, self._registers)

    def enter_call(self, function: int, arguments: Sequence[int], end: int) -> int | None:
        """Let the machine stand at a function's first instruction, as if it had been called.

        Args:
            function: Its address.
            arguments: Unsigned words.
            end: Physical address of the `hlt` that it returns to.

        Returns:
            Where it returns to. None: nothing has changed, because that is not mapped, or the arguments are many or do not lie in
            one page of RAM.
        """
        core = self._core
        core.check_rests("call()")
        at: int = lib.kc_call_enter(core.raw, function, arguments, len(arguments), end, self._before_call)
        return None if at < 0 else at

    def leave_call(self) -> int:
        """Return EAX, and put the registers back to what they were at the last `enter_call`."""
        eax: int = lib.kc_call_leave(self._core.raw, self._before_call)
        return eax

    def translate(self, linear: int) -> int | None:
        """Return the physical address of a linear one, without side effects; None where nothing is mapped."""
        physical: int = lib.kc_translate(self._core.raw, linear)
        return None if physical < 0 else physical

    def forbids_execution(self) -> bool | None:
        """Return whether entries of page tables can forbid execution (EFER.NXE); None in 64-bit mode, which this machine does not have."""
        forbids: int = lib.kc_forbids_execution(self._core.raw)
        return None if forbids < 0 else bool(forbids)

    # What models ask of it, see `kernel_model.cpu.Cpu`; from a probe's callback, too.

    def page_directory(self) -> int:
        """Return where the page tables in use begin, physical, from CR3; 0 while paging is off."""
        directory: int = lib.kc_page_tables(self._core.raw)
        return directory

    def forget_translation(self, linear: int) -> None:
        """Let the TLB forget the page that a linear address is in, as ``invlpg`` does."""
        lib.kc_forget_translation(self._core.raw, linear)

    def forget_translations(self) -> None:
        """Let the TLB forget all pages."""
        lib.kc_forget_translations(self._core.raw)

    def used_directories(self) -> tuple[list[UsedDirectory], bool]:
        """Return the page directories that the guest has used, the last one first, and whether there were others before.

        With the reference MMU none is known.
        """
        count, more = ffi.new("uint32_t *"), ffi.new("bool *")
        found = lib.kc_directories(self._core.raw, count, more)
        return [UsedDirectory(each.cr3, each.linear, each.physical) for each in found[0 : count[0]]], bool(
            more[0]
        )

    def flush_code(self) -> None:
        """Forget all translated code, because bytes of code were changed from outside, or probes added to it."""
        self._core.check_rests("flush_code()")
        lib.kc_flush_code(self._core.raw)

    def memory_written(self, address: int, size: int) -> None:
        """Let [address, address + size), physical, count as initialised: it was written from Python. For callbacks, too."""
        lib.kc_memory_written(self._core.raw, address, size)

    def code_written(self, address: int, size: int) -> None:
        """Forget what was translated of [address, address + size), physical, which was written from Python. For callbacks, too."""
        lib.kc_code_written(self._core.raw, address, size)

    def write_follows(self, address: int, size: int) -> None:
        """Let watchpoints see that a model is going to write to [address, address + size), physical; for callbacks."""
        lib.kc_write_follows(self._core.raw, address, size)

    def set_local_apic(self, present: bool) -> None:  # noqa: FBT001 - a bit
        """Let cpuid say whether there is a local APIC, at 0xFEE00000; at first there is none."""
        lib.kc_local_apic(self._core.raw, present)

    def set_a20(self, on: bool) -> None:  # noqa: FBT001 - a bit
        """Open gate A20, or shut it: then bit 20 of the CPU's physical addresses is 0."""
        lib.kc_a20(self._core.raw, on)

    # -- running -----------------------------------------------------------------------------------

    @contextmanager
    def time_limit(self, seconds: float) -> Iterator[None]:
        """End runs inside the block with `Reason.TIME` when they have taken *seconds* of the host in total.

        Raises:
            HostError: The host has no thread left, or there is a limit already.
        """
        if lib.kc_time_limit(self._core.raw, seconds):
            raise HostError("cannot watch the time: no thread left, or the machine runs already")
        try:
            yield
        finally:
            lib.kc_time_unlimited(self._core.raw)

    def run(self, max_instructions: int | None = None, slice_instructions: int | None = None) -> Stop:
        """Run from the current EIP until something ends it.

        Args:
            max_instructions: Exact budget.
            slice_instructions: After so many, the run ends with the next block.

        What callbacks raised meanwhile, and handlers of signals, waits for `Core.raise_pending`: the run counts all the same.
        """
        self._run(max_instructions or 0, slice_instructions or 0)
        return self._stopped()

    def run_call(self, return_to: int) -> tuple[int, Stop | None]:
        """Run without a budget.

        Args:
            return_to: Address of the `hlt` at which a call ends.

        Returns:
            How many instructions were executed, and how the run ended; None: in this `hlt`.
        """
        stop = self._stop
        self._run(0, 0)
        is_over = stop.reason == _HALTED and stop.eip == return_to + 1
        return stop.instructions, None if is_over else self._stopped()

    def _run(self, max_instructions: int, slice_instructions: int) -> None:
        core = self._core
        core.check_rests("run()")
        core.is_running = True
        try:
            lib.kc_run(core.raw, max_instructions, slice_instructions, self._stop)
        except BaseException as error:  # noqa: BLE001 - Python handles signals as soon as the core has returned
            error.__context__, core.pending = core.pending, error
        core.is_running = False

    def _stopped(self) -> Stop:
        stop = self._stop
        values = [*_STOP.unpack_from(self._stop_bytes)]
        values[_REASON] = reason = _REASONS[stop.reason]
        values[_ACCESS] = _ACCESSES[stop.access]
        values[_PROBLEM] = ""
        if reason is Reason.FAILED:
            values[_PROBLEM] = ffi.string(lib.kc_error_text(stop.uc_error)).decode()
        return Stop._make(values)

    def executed(self) -> int:
        """Return the instructions of the present run up to the present block; 0 between runs."""
        count: int = lib.kc_executed(self._core.raw)
        return count

    # -- interrupts --------------------------------------------------------------------------------

    def undelivered(self) -> tuple[Attempt, ...]:
        """Return what was tried, in order, when a run has ended with `Reason.EXCEPTION`.

        What a CPU raises because one failed is the next one (Intel SDM vol. 3A, 6.15, table 6-5).
        """
        attempts = ffi.new("kc_attempt **")
        count = lib.kc_undelivered(self._core.raw, attempts)
        return tuple(
            Attempt(one.vector, DeliveryKind(one.kind), one.error_code)
            for one in ffi.unpack(attempts[0], count)
        )

    def last_fault(self) -> Fault | None:
        """Return the newest exception that a handler was entered for, other than by `int n`."""
        fault = ffi.new("kc_fault *")
        lib.kc_last_fault(self._core.raw, fault)
        return Fault(fault.vector, fault.eip, fault.frame) if fault.happened else None

    def end_at_halts(self, eips: Iterable[int]) -> None:
        """Let a run end at a `hlt` at one of these addresses, whoever could wake the CPU."""
        addresses = tuple(eips)
        if lib.kc_halt_ends(self._core.raw, addresses, len(addresses)):
            raise ValueError(f"{len(addresses)} addresses are too many")
