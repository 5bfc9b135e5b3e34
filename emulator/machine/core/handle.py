"""The native core of one machine: its handle, which the parts of the machine share, and what it calls in Python.

Unicorn's Python binding is not imported: the core loads the library that the unicorn package ships. That saves its
import time at every start, and calls through cffi cost a third of calls through ctypes.
"""

from __future__ import annotations

import operator
import os.path
from _thread import allocate_lock  # what threading would import takes time at each start
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, Literal

from emulator.errors import HostError
from emulator.native import _core
from emulator.x86 import PAGE_SIZE, WORD_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ffi, lib = _core.ffi, _core.lib

Mmu = Literal["fast", "ordinary", "reference"]
_ACCESSES: dict[str, int] = {"fast": lib.KC_FAST, "ordinary": lib.KC_ORDINARY, "reference": lib.KC_REFERENCE}

RUNS = "{} while the machine runs: a callback may look at it, and end the run with stop()"
"""What is said of a call that may not come from a callback."""


_loading = allocate_lock()


def load_unicorn() -> str:
    """Let the core load libunicorn, once per process.

    Returns:
        Its path, or its name where the system finds it.

    Raises:
        HostError: There is none, or one of a version that the core cannot work with.
    """
    with _loading:  # the threads that come at once would replace what one of them uses already
        return _load_unicorn()


@cache
def _load_unicorn() -> str:
    spec = PathFinder.find_spec("unicorn")  # importlib.util would look here, too, but is slow to import
    folders = spec.submodule_search_locations if spec else None
    bundled = os.path.join(folders[0], "lib", "libunicorn.so.2") if folders else None
    library = bundled if bundled and os.path.exists(bundled) else "libunicorn.so.2"
    problem = lib.kc_load(library.encode())
    if problem != ffi.NULL:
        raise HostError(f"cannot use libunicorn: {ffi.string(problem).decode()}")
    lib.kc_connect()
    return library


class Core:
    """The native core of one machine, with its physical memory [0, memory_end).

    Args:
        memory_end: End of physical memory, page aligned.
        mmu: How the guest's accesses are made, see `Machine`.

    Attributes:
        reference: Whether Unicorn's own MMU is used.
        raw: What the functions of `lib` work on.
        memory: Physical memory.
        is_running: Whether the CPU runs; set by it.
        in_run: Whether a run of the machine goes on, in which the CPU stops and runs again; set by the run loop.
        pending: What a callback or the handler of a signal raised, until somebody takes it.

    The other attributes are called by the core. Each is set once, by the part of the machine that it belongs to:

        port_read: A port in mode DEVICE is read: (port, size) -> value.
        port_write: A port in mode DEVICE is written: (port, size, value).
        memory_read: A device's memory is read: (window, offset, size) -> value.
        memory_write: It is written: (window, offset, size, value).
        console: Bytes were written to ports in mode SINK: (number, bytes).
        probe: A probe with a callback is reached: (number, kind, esp, eax) -> EAX.
        calls_full: The rows for recorded calls are full and wait to be taken.
        call_entered: A recorded function is entered, and it is the turn to report it.
        idle: The CPU waits in `hlt`, and the core does not know what wakes it first.
        apic_acknowledge: The CPU takes the interrupt that the local APIC asks for: () -> vector.
        apic_line: A line of the board that the I/O APIC lets through is raised, or that of the 8259, KC_PIC_OUTPUT: (line).
        apic_off: The local APIC is switched off: ().
        bios: The guest has come to an undefined instruction in ROM.
        stops: A breakpoint with a condition is reached: (number) -> whether the run ends.

    One is called by the run loop, and set by who checks accesses:

        ends_at_access: Asked, when the CPU stands at a bad access of a new kind, whether the run ends there; None: nobody is asked.

    Raises:
        HostError: The host cannot give the memory, or libunicorn is missing.
    """

    def __init__(self, memory_end: int, mmu: Mmu) -> None:
        load_unicorn()
        self.pending: BaseException | None = None
        if mmu not in _ACCESSES:
            raise ValueError(f"{mmu!r} is no MMU")
        self.reference = mmu == "reference"
        self.is_running = self.in_run = self._holds_signals = False
        self.port_read: Callable[[int, int], int]
        self.port_write: Callable[[int, int, int], None]
        self.memory_read: Callable[[int, int, int], int]
        self.memory_write: Callable[[int, int, int, int], None]
        self.console: Callable[[int, bytes], None]
        self.probe: Callable[[int, int, int, int], int]
        self.calls_full: Callable[[], None]
        self.call_entered: Callable[[], None]
        self.idle: Callable[[], None]
        self.apic_acknowledge: Callable[[], int]
        self.apic_line: Callable[[int], None]
        self.apic_off: Callable[[], None]
        self.bios: Callable[[], None]
        self.stops: Callable[[int], bool]
        self.ends_at_access: Callable[[], bool] | None = None
        self._handle = ffi.new_handle(self)
        raw = lib.kc_new(memory_end, _ACCESSES[mmu], self._handle)
        if raw == ffi.NULL:
            raise HostError(f"the host cannot give {memory_end} bytes of address space for guest RAM")
        self.raw = ffi.gc(raw, lib.kc_delete)
        self.memory = _memory_of(self.raw, memory_end)

    def check(self, uc_error: int) -> None:
        """Raise `HostError` for an error of Unicorn; 0 is none."""
        if uc_error:
            raise HostError(f"unicorn: {ffi.string(lib.kc_error_text(uc_error)).decode()}")

    def opened(self, number: int) -> int:
        """Return the number of what was opened.

        Raises:
            HostError: It is a Unicorn error, negative.
        """
        self.check(-min(number, 0))
        return number

    def check_rests(self, what: str) -> None:
        """Refuse what would change the machine below a CPU that runs: it would be lost, or worse.

        Args:
            what: The function that was called, as its caller knows it.

        Raises:
            ValueError: The CPU runs: a callback was called, and has called this.
        """
        if self.is_running:
            raise ValueError(RUNS.format(what))

    def check_machine_rests(self, what: str) -> None:
        """Refuse what would change the machine below a run that goes on, also while the CPU stands.

        Args:
            what: The function that was called, as its caller knows it.

        Raises:
            ValueError: The machine runs: a callback was called, and has called this.
        """
        if self.in_run:
            raise ValueError(RUNS.format(what))

    def request_stop(self) -> None:
        """End the present run of the CPU, after which the machine may go on; for callbacks."""
        lib.kc_stop_request(self.raw)

    def fail(self, error: BaseException) -> None:
        """End the run with an exception, the first one if there are several; for callbacks."""
        if self.pending is None:
            self.pending = error
        self.request_stop()

    @contextmanager
    def signals_held(self) -> Iterator[None]:
        """Let Ctrl-C, SIGTERM and SIGHUP wait until the end of the block, which is to be done as a whole; a second one does not wait.

        Where blocks nest, it is the end of the outermost one.
        """
        if self._holds_signals:
            yield
            return
        try:
            self._holds_signals = True
            lib.kc_signals_hold(self.raw)
            yield
        finally:
            self._holds_signals = False
            lib.kc_signals_release(self.raw)

    def raise_pending(self) -> None:
        """Raise what waits to be raised.

        Raises:
            BaseException: What a callback or the handler of a signal raised.
        """
        if self.pending is None:
            return
        pending, self.pending = self.pending, None
        if isinstance(pending, KeyboardInterrupt):
            lib.kc_interruption_taken(self.raw)
        raise pending


def _memory_of(raw: Any, size: int) -> memoryview:
    """Return the machine's RAM, which is there as long as anybody has a view of it."""
    return memoryview(ffi.buffer(ffi.gc(lib.kc_memory(raw), lambda _memory, _core=raw: None), size))


def pages_of(touched: Any, count: int) -> dict[int, bytes]:
    """Return a list of the core's: physical address of each page -> its bytes."""
    pages = touched[0]
    return {pages[i].page * PAGE_SIZE: bytes(ffi.buffer(pages[i].bytes, PAGE_SIZE)) for i in range(count)}


# -- callbacks from the core: an exception must not cross C, it waits in `pending` ---------------------------------


def _on_error(_kind: object, error: BaseException, traceback: Any) -> None:
    """Keep what is raised outside of the `try` below: Ctrl-C can be, at any instruction of Python."""
    if traceback is not None and "handle" in traceback.tb_frame.f_locals:
        ffi.from_handle(traceback.tb_frame.f_locals["handle"]).fail(error)


def _extern(name: str, function: Callable[..., Any], *, answers: bool) -> None:
    """Let the core call *function* with a machine's `Core` and the arguments. What it raises ends the run.

    cffi converts a result when the callback is over, where an error belongs to no machine any more. So that is
    checked in here.
    """

    def callback(handle: object, *arguments: Any) -> int | None:
        core = ffi.from_handle(handle)
        try:
            result = function(core, *arguments)
            return _word(result) if answers else None
        except BaseException as error:  # noqa: BLE001 - `Core.raise_pending` raises it
            core.fail(error)
            return 0 if answers else None

    options = {"error": 0} if answers else {}
    ffi.def_extern(name, onerror=_on_error, **options)(callback)


def _word(value: object) -> int:
    """Return what a callback says EAX, or a port, is.

    Raises:
        TypeError: It is no number.
        OverflowError: It does not fit an unsigned 32-bit word.
    """
    word = operator.index(value)  # type: ignore[arg-type] # it raises where there is none
    if not 0 <= word <= WORD_MAX:
        raise OverflowError(f"a callback returned {word:#x}, which does not fit an unsigned 32-bit word")
    return word


_extern("kc_on_port_read", lambda core, port, size: core.port_read(port, size), answers=True)
_extern("kc_on_port_write", lambda core, port, size, value: core.port_write(port, size, value), answers=False)
_extern(
    "kc_on_memory_read",
    lambda core, window, offset, size: core.memory_read(window, offset, size),
    answers=True,
)
_extern(
    "kc_on_memory_write",
    lambda core, window, offset, size, value: core.memory_write(window, offset, size, value),
    answers=False,
)
_extern(
    "kc_on_console",
    lambda core, number, data, count: core.console(number, bytes(ffi.buffer(data, count))),
    answers=False,
)
_extern("kc_on_probe", lambda core, number, kind, esp, eax: core.probe(number, kind, esp, eax), answers=True)
_extern("kc_on_calls", lambda core: core.calls_full(), answers=False)
_extern("kc_on_entered", lambda core: core.call_entered(), answers=False)
_extern("kc_on_idle", lambda core: core.idle(), answers=False)
_extern("kc_on_apic_acknowledge", lambda core: core.apic_acknowledge(), answers=True)
_extern("kc_on_apic_line", lambda core, line: core.apic_line(line), answers=False)
_extern("kc_on_apic_off", lambda core: core.apic_off(), answers=False)
_extern("kc_on_stop", lambda core, number: core.stops(number), answers=True)
_extern("kc_on_bios", lambda core: core.bios(), answers=False)
