"""The CPU: the one place that knows the native core and, through it, Unicorn.

Unicorn's Python binding is not imported: the core loads the library that the unicorn package ships. That saves its
import time at every start, and calls through cffi cost a third of calls through ctypes.
"""

from __future__ import annotations

import operator
import struct
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.errors import HostError
from emulator.machine.core_types import (
    Access,
    Callers,
    CallRows,
    CpuClient,
    Delivery,
    DeliveryKind,
    LastWrite,
    LateReturn,
    PortMode,
    ProbeKind,
    Reason,
    Registers,
    Step,
    StepKind,
    Stop,
    Written,
)
from emulator.native import _core
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ffi, lib = _core.ffi, _core.lib

RUNS = "{} while the machine runs: a callback may look at it, and end the run with stop()"
"""What is said of a call that may not come from a callback."""

_REGISTER_WORDS = struct.Struct(f"<{len(Registers._fields)}I")  # kc_registers has the same order


@cache
def _load_unicorn() -> None:
    """Let the core load libunicorn, once per process.

    Raises:
        HostError: There is none, or one of a version that the core cannot work with.
    """
    spec = PathFinder.find_spec("unicorn")  # importlib.util would look here, too, but is slow to import
    folders = spec.submodule_search_locations if spec else None
    bundled = Path(folders[0]) / "lib" / "libunicorn.so.2" if folders else None
    library = str(bundled) if bundled and bundled.exists() else "libunicorn.so.2"
    problem = lib.kc_load(library.encode())
    if problem != ffi.NULL:
        raise HostError(f"cannot use libunicorn: {ffi.string(problem).decode()}")
    lib.kc_connect()


class Cpu:
    """One i386 CPU with its physical memory [0, memory_end).

    Args:
        memory_end: End of physical memory, page aligned.
        reference: Use Unicorn's own MMU instead of the core's.
        client: Receives port accesses, console bytes and probe calls.

    Raises:
        HostError: The host cannot give the memory, or libunicorn is missing.
    """

    def __init__(self, memory_end: int, *, reference: bool, client: CpuClient) -> None:
        _load_unicorn()
        self.client = client
        self.pending: BaseException | None = None
        self._handle = ffi.new_handle(self)
        self._core = lib.kc_new(memory_end, reference, self._handle)
        if self._core == ffi.NULL:
            raise HostError(f"the host cannot give {memory_end} bytes of address space for guest RAM")
        self._core = ffi.gc(self._core, lib.kc_delete)
        self.memory = _memory_of(self._core, memory_end)
        self._stop = ffi.new("kc_stop *")
        self._registers = ffi.new("kc_registers *")
        self._register_bytes = memoryview(ffi.buffer(self._registers))
        self._touched = ffi.new("kc_touched **")
        self._runs = False
        self._snapshots: list[int] = []  # numbers, the outermost first
        self._snapshots_taken = 0
        self._watchpoint = self._step_log = 0  # numbers of those that are open

    # -- set-up ------------------------------------------------------------------------------------

    def map_ram(self, start: int, end: int) -> None:
        """Make [start, end) usable."""
        self._check_rests("map_ram()")
        self._check(lib.kc_map_ram(self._core, start, end))

    def map_rom(self, start: int, end: int) -> None:
        """Make [start, end) read as zero and ignore writes."""
        self._check_rests("map_rom()")
        self._check(lib.kc_map_rom(self._core, start, end))

    def set_flat_segments(self, gdt_base: int, gdt_limit: int) -> None:
        """Enter flat 32-bit protected mode: code segment 0x08, all data segments 0x10."""
        self._check_rests("set_flat_segments()")
        self._check(lib.kc_set_flat(self._core, gdt_base, gdt_limit))

    def set_port_out(self, port: int, mode: PortMode, console: int = 0) -> None:
        """Say what happens to bytes written to *port*."""
        lib.kc_port_out(self._core, port, mode, console)

    def set_port_in(self, port: int, mode: PortMode, value: int = 0) -> None:
        """Say what a read of *port* gives."""
        lib.kc_port_in(self._core, port, mode, value)

    def _check(self, uc_error: int) -> None:
        if uc_error:
            raise HostError(f"unicorn: {ffi.string(lib.kc_error_text(uc_error)).decode()}")

    def _opened(self, number: int) -> int:
        """Return the number of what the core has opened; it is a negative error if that could not be."""
        self._check(max(0, -number))
        return number

    # -- registers and memory ----------------------------------------------------------------------

    def registers(self) -> Registers:
        """All registers."""
        lib.kc_get_registers(self._core, self._registers)
        return Registers._make(_REGISTER_WORDS.unpack(self._register_bytes))

    def set_registers(self, registers: Registers) -> None:
        """Write the general registers, EIP and EFLAGS; the others are left alone."""
        self._check_rests("set_registers()")
        _REGISTER_WORDS.pack_into(self._register_bytes, 0, *registers)
        lib.kc_set_registers(self._core, self._registers)

    def translate(self, linear: int) -> int | None:
        """Physical address of a linear one, without side effects; None where nothing is mapped."""
        physical: int = lib.kc_translate(self._core, linear)
        return None if physical < 0 else physical

    # -- running -----------------------------------------------------------------------------------

    @contextmanager
    def time_limit(self, seconds: float | None) -> Iterator[None]:
        """Runs inside the block end with `Reason.TIME` when they have taken *seconds* of the host in total.

        Raises:
            HostError: The host has no thread left, or there is a limit already.
        """
        if seconds is None:
            yield
            return
        if lib.kc_time_limit(self._core, seconds):
            raise HostError("cannot watch the time: no thread left, or the machine runs already")
        try:
            yield
        finally:
            lib.kc_time_unlimited(self._core)

    def run(self, max_instructions: int | None = None, slice_instructions: int | None = None) -> Stop:
        """Run from the current EIP until something ends it.

        Args:
            max_instructions: Exact budget.
            slice_instructions: After so many, the run ends with the next block.

        What callbacks raised meanwhile, and handlers of signals, waits for `raise_pending`: the run counts all the same.
        """
        stop = self._stop
        self._check_rests("run()")
        self._runs = True
        try:
            lib.kc_run(self._core, max_instructions or 0, slice_instructions or 0, stop)
        except BaseException as error:  # noqa: BLE001 - Python handles signals as soon as the core has returned
            error.__context__, self.pending = self.pending, error
        self._runs = False
        reason = Reason(stop.reason)
        problem = ""
        if reason is Reason.FAILED:
            problem = ffi.string(lib.kc_error_text(stop.uc_error)).decode()
        return Stop(
            reason,
            stop.eip,
            stop.pc,
            stop.vector,
            stop.error_code,
            stop.address,
            stop.linear,
            Access(stop.access),
            problem,
            stop.instructions,
            stop.block,
            stop.block_size,
            stop.block_instructions,
        )

    def _check_rests(self, what: str) -> None:
        """Raises `ValueError` if the core runs: what a callback changes below it would be lost, or worse."""
        if self._runs:
            raise ValueError(RUNS.format(what))

    def request_stop(self) -> None:
        """End the current run; for callbacks."""
        lib.kc_stop_request(self._core)

    def fail(self, error: BaseException) -> None:
        """End the current run with an exception, the first one if there are several; for callbacks."""
        if self.pending is None:
            self.pending = error
        self.request_stop()

    def raise_pending(self) -> None:
        """Raise what waits to be raised.

        Raises:
            BaseException: What a callback or the handler of a signal raised.
        """
        if self.pending is None:
            return
        pending, self.pending = self.pending, None
        if isinstance(pending, KeyboardInterrupt):
            lib.kc_interruption_taken(self._core)
        raise pending

    def flush_console(self) -> None:
        """Hand over the console bytes that the core still holds.

        Raises:
            Exception: What the receiver raised.
        """
        lib.kc_console_flush(self._core)
        self.raise_pending()

    def flush_code(self) -> None:
        """Forget all translated code, because bytes of code were changed from outside."""
        self._check_rests("flush_code()")
        lib.kc_flush_code(self._core)

    # -- interrupts --------------------------------------------------------------------------------

    def executed(self) -> int:
        """Instructions of the present run up to the present block; 0 between runs."""
        count: int = lib.kc_executed(self._core)
        return count

    def set_irq_pending(self, pending: bool) -> None:  # noqa: FBT001 - a line's level
        """A run ends with `Reason.IRQ` where the guest would take an interrupt, while this is set."""
        lib.kc_irq_pending(self._core, pending)

    def irq_possible(self) -> bool:
        """Whether the guest would take an interrupt now."""
        return bool(lib.kc_irq_possible(self._core))

    def deliver(
        self, vector: int, kind: DeliveryKind, error_code: int | None
    ) -> tuple[Delivery, tuple[int, int]]:
        """Go to the guest's handler of *vector*; if that cannot be: why, and vector and error code that a CPU raises then."""
        has_code, following = error_code is not None, ffi.new("kc_fault *")
        delivery = lib.kc_deliver(self._core, vector, kind, has_code, error_code or 0, following)
        return Delivery(delivery), (following.vector, following.error_code)

    def set_cr2(self, address: int) -> None:
        """Note the linear address of a page fault for the guest."""
        lib.kc_set_cr2(self._core, address)

    # -- snapshots ---------------------------------------------------------------------------------

    def snapshot(self) -> int:
        """Keep the state of memory and registers. Returns the snapshot's number; numbers are not used again.

        Raises:
            HostError: Too many nested snapshots, or no memory left.
        """
        self._check_rests("snapshot()")
        if lib.kc_snapshot(self._core) < 0:
            raise HostError("cannot take another snapshot inside this one")
        self._snapshots_taken += 1
        self._snapshots.append(self._snapshots_taken)
        return self._snapshots_taken

    def reset(self, snapshot: int) -> None:
        """Return to a snapshot; those taken inside it are gone.

        Raises:
            HostError: It is gone itself.
        """
        self._check_rests("reset()")
        depth = self._depth(snapshot)
        if lib.kc_reset(self._core, depth):
            raise HostError(f"the host cannot return to snapshot {snapshot}")
        del self._snapshots[depth + 1 :]

    def discard(self, snapshot: int) -> None:
        """Forget a snapshot and those inside it.

        Raises:
            HostError: It is gone already.
        """
        self._check_rests("discard()")
        depth = self._depth(snapshot)
        if lib.kc_discard(self._core, depth):
            raise HostError(f"the host cannot forget snapshot {snapshot}")
        del self._snapshots[depth:]

    def page_written(self, snapshot: int, physical: int) -> bool:
        """Whether the page at *physical* was written between a snapshot and the next one inside it.

        Raises:
            HostError: The snapshot is gone.
        """
        return bool(lib.kc_page_written(self._core, self._depth(snapshot), physical // PAGE_SIZE))

    def pages_written(self, snapshot: int) -> dict[int, bytes]:
        """What was written between a snapshot and the next one inside it: address of a page -> its bytes at the snapshot.

        Raises:
            HostError: The snapshot is gone.
        """
        count = lib.kc_pages_written(self._core, self._depth(snapshot), self._touched)
        if count < 0:
            raise HostError("no memory for a list of pages")
        return _pages(self._touched, count)

    def _depth(self, snapshot: int) -> int:
        if snapshot not in self._snapshots:
            raise HostError(
                f"snapshot {snapshot} is gone: an outer one was reset or discarded, or it was itself"
            )
        return self._snapshots.index(snapshot)

    # -- probes ------------------------------------------------------------------------------------

    def add_probe(self, address: int, number: int, kind: ProbeKind, actions: int) -> int:
        """Watch the instruction at *address* (linear); call `flush_code` when code has run before.

        Returns:
            The probe's identity, for `remove_probe`.
        """
        self._check_rests("add_probe()")
        return self._opened(lib.kc_probe_add(self._core, address, number, kind, actions))

    def remove_probe(self, identity: int) -> None:
        """Remove a probe; one that is gone already is none."""
        self._check_rests("remove_probe()")
        lib.kc_probe_remove(self._core, identity)

    def switch_probes(self, number: int, on: bool) -> None:  # noqa: FBT001 - a switch
        """Switch the probes that call the callback of this number off, or on again."""
        lib.kc_probes_switch(self._core, number, on)

    def record_calls(self, functions: Sequence[tuple[int, int, int, int, bool]]) -> None:
        """Record calls of functions, by the numbers of their probes, from now on; an empty list ends it.

        Args:
            functions: Of each where its code begins and ends, how many words of arguments it has, which of them
                points to a result, or -1, and whether its calls are allocations.
        """
        self._check_rests("record_calls()")
        table = ffi.new("kc_function[]", functions)
        if lib.kc_record(self._core, table, len(functions)):
            raise HostError("no memory for a record of calls")

    def hand_over_calls(self, yes: bool) -> None:  # noqa: FBT001 - a switch
        """Call `CpuClient.on_calls` whenever the rows are full; otherwise they are forgotten then."""
        lib.kc_calls_hand_over(self._core, yes)

    def calls_now(self) -> CallRows:
        """The rows that were not handed over yet; while calls are recorded."""
        return CallRows(lib.kc_calls_now(self._core))

    def calls_late(self) -> list[LateReturn]:
        """Returns of calls whose rows were handed over."""
        count = ffi.new("uint32_t *")
        late = lib.kc_calls_late(self._core, count)
        return [
            LateReturn(each.call, each.left, each.left_time_ns, each.result, each.out)
            for each in (late[i] for i in range(count[0]))
        ]

    def calls_taken(self) -> None:
        """Empty the rows."""
        lib.kc_calls_taken(self._core)

    def event_count(self) -> int:
        """Entries and exits of recorded functions so far."""
        count: int = lib.kc_events(self._core)
        return count

    def tell_every(self, calls: int) -> None:
        """Call `CpuClient.on_entered` at the entry of each *calls*-th call from now on; 0: never."""
        lib.kc_tell_every(self._core, calls)

    def open_calls(self) -> int:
        """Calls of recorded functions that have not returned; those of tasks that wait are among them."""
        count: int = lib.kc_open_calls(self._core)
        return count

    def set_clock(self, now_ns: int, instruction_ns: int) -> None:
        """Say what events get as their time in the next run."""
        lib.kc_clock(self._core, now_ns, instruction_ns)

    def stop_at_event(self, event: int) -> None:
        """Runs end with `Reason.EVENT` where this event happens, in front of the instruction; 0 for never."""
        lib.kc_stop_at_event(self._core, event)

    def allocation_count(self) -> int:
        """Allocations so far, without those that are passed."""
        count: int = lib.kc_allocations(self._core)
        return count

    def stop_at_allocation(self, n: int) -> None:
        """Runs end with `Reason.EVENT` at the n-th allocation from now, in front of the instruction; 0 for never."""
        lib.kc_stop_at_allocation(self._core, n)

    def pass_stack(self, stack: int, yes: bool) -> None:  # noqa: FBT001 - a switch
        """Whether allocations with this call stack, a number from 1, are passed from now on, without a number."""
        lib.kc_pass_stack(self._core, stack, yes)

    def at_allocation(self) -> int:
        """Number of the allocation at whose first instruction the last run has ended; 0: it ended elsewhere."""
        number: int = lib.kc_at_allocation(self._core)
        return number

    def return_from(self, eax: int) -> None:
        """Leave the function at whose entry the last run has ended, as if it had done nothing but return *eax*.

        Raises:
            ValueError: The last run ended elsewhere.
        """
        self._check_rests("return_from()")
        if lib.kc_return(self._core, eax):
            raise ValueError("the machine does not stand at the entry of a recorded function")

    def set_unwind_rules(self, rules: bytes, code: Sequence[tuple[int, int]]) -> None:
        """Say how call stacks are walked.

        Args:
            rules: Packed `kc_rule`, ascending; where there is none, frame pointers are followed.
            code: Ranges of addresses that hold code, 16 at most.
        """
        ranges = ffi.new("uint32_t[]", [bound for each in code for bound in each])
        packed = ffi.from_buffer("kc_rule[]", rules)
        if lib.kc_unwind(self._core, packed, len(packed), ranges, len(code)):
            raise HostError(f"cannot take {len(packed)} unwind rules and {len(code)} ranges of code")

    def set_functions(self, extents: bytes) -> None:
        """Say where the kernel's functions are.

        Args:
            extents: Packed `kc_extent`, ascending.
        """
        packed = ffi.from_buffer("kc_extent[]", extents)
        if lib.kc_functions(self._core, packed, len(packed)):
            raise HostError(f"cannot take {len(packed)} functions")

    def stack_count(self) -> int:
        """Call stacks met so far."""
        count: int = lib.kc_stack_count(self._core)
        return count

    def stack(self, number: int) -> tuple[int, tuple[int, ...]]:
        """The first call that had a stack, and its return addresses, innermost first."""
        count, call = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        words = lib.kc_stack(self._core, number, count, call)
        return call[0], tuple(ffi.unpack(words, count[0]))

    def callers(self, eip: int) -> Callers:
        """Return the calls around an instruction, with ESP and EBP as they are; between runs."""
        found = ffi.new("kc_callers *")
        lib.kc_callers_of(self._core, eip, found)
        return _callers(found)

    def callers_of_call(self, esp: int, ebp: int) -> Callers:
        """Return a call whose return address lies at *esp*, and the calls around it; *ebp* is its caller's."""
        found = ffi.new("kc_callers *")
        lib.kc_callers_of_call(self._core, esp, ebp, found)
        return _callers(found)

    def watch_word(self, physical: int, size: int) -> None:
        """Keep the last write to *size* bytes, 1 to 4; 0 ends it. Runs are slower meanwhile."""
        self._check_rests("watch_word()")
        lib.kc_watchpoint_close(self._core, self._watchpoint)
        self._watchpoint = self._opened(lib.kc_watchpoint_open(self._core, physical, size)) if size else 0

    def last_write(self) -> LastWrite | None:
        """The last write to the watched word since `watch_word`."""
        writes = self._writes()
        return self._write(writes.last)

    def changes(self) -> tuple[LastWrite, LastWrite] | None:
        """The first and the last write since `watch_word` that left the watched word other than it was."""
        writes = self._writes()
        changes = self._write(writes.first_change), self._write(writes.last_change)
        return None if changes[0] is None or changes[1] is None else (changes[0], changes[1])

    def _writes(self) -> Any:
        writes = ffi.new("kc_writes *")
        lib.kc_watchpoint_writes(self._core, self._watchpoint, writes)
        return writes

    def _write(self, write: Any) -> LastWrite | None:
        if not write.count:
            return None
        callers = self.stack(write.stack)[1][1:] if write.stack else ()  # the first is EIP + 1
        return LastWrite(write.eip, write.pc, write.event, write.before, write.after, callers, write.count)

    def keep_steps(self, limit: int) -> None:
        """Keep each instruction and access of the runs from now on, at most *limit*; 0 ends it. Runs are slow meanwhile."""
        self._check_rests("keep_steps()")
        lib.kc_step_log_close(self._core, self._step_log)
        self._step_log = self._opened(lib.kc_step_log_open(self._core, limit)) if limit else 0

    def steps(self) -> list[Step]:
        """What was kept so far."""
        count = ffi.new("uint32_t *")
        steps = lib.kc_step_log(self._core, self._step_log, count)
        return [
            Step(StepKind(each.kind), each.address, each.size, each.value)
            for each in (steps[i] for i in range(count[0]))
        ]

    def watch_begin(self, stack: range | None = None) -> int:
        """Start to note the pages that the guest writes; up to 64 watches may be open at a time.

        Args:
            stack: Where ESP (linear) is while a call of the guest goes on that this watch belongs to. It is closed when ESP
                is seen elsewhere, and when registers are set. No interrupt comes before. Snapshots keep it.

        Returns:
            The watch's number, which is not used again; 0: there are too many.
        """
        low, high = (stack[0], stack[-1]) if stack else (0, 0)
        number: int = lib.kc_watch_begin(self._core, low, high)
        return number

    def watch_note(self, address: int, size: int) -> None:
        """Count a write from Python to [address, address + size), physical, as the guest's; call it before writing."""
        lib.kc_watch_note(self._core, address, size)

    def watch_is_open(self, number: int) -> bool:
        """Whether a watch still goes on."""
        return bool(lib.kc_watch_is_open(self._core, number))

    def watch_leave(self, esp: int) -> int:
        """Close the watches of calls that do not go on with this ESP. Returns how many are left."""
        count: int = lib.kc_watch_leave(self._core, esp)
        return count

    def watch_end(self, number: int) -> Written:
        """End a watch.

        Raises:
            HostError: There was no memory for all pages.
            ValueError: It is not open.
        """
        if not self.watch_is_open(number):
            raise ValueError(f"watch {number} is not open")
        marked, marked_count = ffi.new("kc_touched **"), ffi.new("uint32_t *")
        count = lib.kc_watch_end(self._core, number, self._touched, marked, marked_count)
        if count < 0:
            raise HostError("no memory to keep the pages that the guest writes")
        return Written(_pages(self._touched, count), _pages(marked, marked_count[0]))


def _memory_of(core: Any, size: int) -> memoryview:
    """Return the machine's RAM, which is there as long as anybody has a view of it."""
    return memoryview(ffi.buffer(ffi.gc(lib.kc_memory(core), lambda _memory, _core=core: None), size))


def _callers(found: Any) -> Callers:
    return_addresses, slots = (
        tuple(ffi.unpack(words, found.count)) for words in (found.return_addresses, found.slots)
    )
    return Callers(return_addresses, slots, found.end or None)


def _pages(list_: Any, count: int) -> dict[int, bytes]:
    """Return a list of the core's: physical address of each page -> its bytes."""
    pages = list_[0]
    return {pages[i].page * PAGE_SIZE: bytes(ffi.buffer(pages[i].bytes, PAGE_SIZE)) for i in range(count)}


# -- callbacks from the core: an exception must not cross C, it waits in `pending` ---------------------------------


def _on_error(_kind: object, error: BaseException, traceback: Any) -> None:
    """Keep what is raised outside of the `try` below: Ctrl-C can be, at any instruction of Python."""
    if traceback is not None and "handle" in traceback.tb_frame.f_locals:
        ffi.from_handle(traceback.tb_frame.f_locals["handle"]).fail(error)


def _extern(name: str, function: Callable[..., Any], *, answers: bool) -> None:
    """Let the core call *function* with the CPU's client and the arguments. What it raises ends the run.

    cffi converts a result when the callback is over, where an error belongs to no machine any more. So that is
    checked in here.
    """

    def callback(handle: object, *arguments: Any) -> int | None:
        cpu = ffi.from_handle(handle)
        try:
            result = function(cpu.client, *arguments)
            return _word(result) if answers else None
        except BaseException as error:  # noqa: BLE001 - `Cpu.raise_pending` raises it
            cpu.fail(error)
            return 0 if answers else None

    options = {"error": 0} if answers else {}
    ffi.def_extern(name, onerror=_on_error, **options)(callback)


def _word(value: object) -> int:
    """Return what a callback says EAX, or a port, is.

    Raises:
        TypeError: It is no number.
        OverflowError: It does not fit an unsigned 32-bit word.
    """
    word = operator.index(value)  # type: ignore[arg-type] # this is what tells
    if not 0 <= word <= WORD_MAX:
        raise OverflowError(f"a callback returned {word:#x}, which does not fit an unsigned 32-bit word")
    return word


_extern("kc_on_port_read", lambda client, port, size: client.on_port_read(port, size), answers=True)
_extern(
    "kc_on_port_write",
    lambda client, port, size, value: client.on_port_write(port, size, value),
    answers=False,
)
_extern(
    "kc_on_console",
    lambda client, number, data, count: client.on_console(number, bytes(ffi.buffer(data, count))),
    answers=False,
)
_extern(
    "kc_on_probe",
    lambda client, number, kind, esp, eax: client.on_probe(number, kind, esp, eax),
    answers=True,
)
_extern("kc_on_calls", lambda client: client.on_calls(), answers=False)
_extern("kc_on_entered", lambda client: client.on_entered(), answers=False)
