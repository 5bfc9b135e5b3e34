"""What the core relies on in the installed libunicorn and in the host, found out by trying.

Tiny guests, a few bytes of machine code each, run on machines of the core without anything around them. Nothing is believed
because a version says so: a fact holds if a guest has behaved as it has to.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.errors import HostError
from emulator.machine.core.core_types import Reason
from emulator.machine.core.handle import ffi, lib, load_unicorn
from emulator.x86 import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY = 1 << 20
_GDT, _CODE, _DATA, _STACK = 0x1000, 0x2000, 0x4000, 0x8000
_IDT_REGISTER, _IDT, _HANDLER, _USER, _TSS, _INNER_STACK = 0x5000, 0x6000, 0x7000, 0x7800, 0x9800, 0xA000
_BASE = 0x12300
_DESCRIPTORS = bytes.fromhex(
    "0000000000000000 ffff0000009acf00 ffff00000092cf00 ffff0000 00facf00 ffff000000f2cf00 6700009800890000 ffff00230192cf00"
)
"""None, code at 0x08, data at 0x10; of ring 3 at 0x18 and 0x20; a TSS at 0x28, and at 0x30 data from `_BASE` on."""
_INVALID_OPCODE, _GENERAL_PROTECTION = 6, 13
_BUDGET = 100_000

_HLT = "f4"
_STORE = "c70500400000 01000000"  # movl $1, 0x4000
_JUMPS = (  # movl $4, %ecx; 1: decl %ecx; jz 3f; movl $2f, %eax; jmp *%eax; 2: movl $1b, %eax; jmp *%eax; 3:
    "b904000000 49 740e b80f200000 ffe0 b805200000 ffe0"
)
_ENABLE_SSE = "0f20e0 80cc02 0f22e0"  # CR4.OSFXSR
_MOVAPS_MISALIGNED = "0f280504400000"  # movaps 0x4004, %xmm0
_LOCK_MOV = "f0 890500400000"  # lock mov %eax, 0x4000
_SYSCALL = "0f05"
_LOAD_BAD_SELECTOR = "66b83412 8ed8"  # mov $0x1234, %ax; mov %ax, %ds
_UD2, _RDTSC, _POPCNT, _VADDPS = "0f0b", "0f31", "f30fb8c1", "c5f058c1"
_REWRITES_ITSELF = "b801000000 c6050120000007 3c07 7402 ebee"  # 1: mov $1, %eax; movb $7, 1b + 1; cmp $7, %al; je 2f; jmp 1b; 2:
_LOAD_ES = "66b83000 8ec0"  # mov $0x30, %ax; mov %ax, %es
_STI = "fb 90 90 eb00 90"
_LIDT = "0f011d00500000"  # lidt 0x5000
_ENTER_RING_3 = (
    "66b82800 0f00d8 6a23 6800900000 6a02 6a1b 6800780000 cf"  # ltr 0x28; to ring 3 at 0x7800, ESP 0x9000
)
_INT_80 = "cd80"


def _gate(handler: int, access: int = 0x8E) -> bytes:
    """Return an interrupt gate to code of ring 0."""
    return (handler & 0xFFFF | 8 << 16 | access << 40 | handler >> 16 << 48).to_bytes(8, "little")


class Fact(NamedTuple):
    """Something that kmemu relies on.

    Attributes:
        name: Short, for people and scripts.
        holds: Whether it is so here.
        text: What it says, or what is missing.
        is_for_speed: Everything works without it, more slowly. Without another one, some guests behave otherwise than on a PC.
    """

    name: str
    holds: bool
    text: str
    is_for_speed: bool = False


def examine() -> list[Fact]:
    """Try all facts; without a libunicorn that can be used, there is only that one."""
    try:
        library = load_unicorn()
    except HostError as error:
        return [Fact("library", holds=False, text=str(error))]
    facts = [Fact("library", holds=True, text=f"libunicorn {unicorn_version()}, {library}"), _functions()]
    for fact, try_it in _TRIALS:
        try:
            holds = try_it()
        except HostError:
            holds = False
        facts.append(fact._replace(holds=holds))
    return facts


def unicorn_version() -> str:
    """Return the version of libunicorn itself, as 2.1.4.

    Raises:
        HostError: It cannot be used.
    """
    load_unicorn()
    version: int = lib.kc_unicorn_version()
    return f"{version >> 24}.{version >> 16 & 0xFF}.{version >> 8 & 0xFF}"


def _functions() -> Fact:
    found = ffi.new("bool *")
    names: list[tuple[str, bool]] = []
    while (name := lib.kc_engine_function(len(names), found)) != ffi.NULL:
        names.append((ffi.string(name).decode(), found[0]))
    missing = [name for name, there in names if not there]
    text = f"not there: {', '.join(missing)}" if missing else f"all {len(names)} that are replaced or called"
    return Fact("functions", not missing, text)


class _Guest:
    """A machine in flat 32-bit mode that stands in front of a few bytes of code."""

    def __init__(self, code: str) -> None:
        load_unicorn()
        core = lib.kc_new(_MEMORY, lib.KC_FAST, ffi.NULL)
        if core == ffi.NULL:
            raise HostError("the host cannot give a machine")
        self.core = ffi.gc(core, lib.kc_delete)
        if lib.kc_map_ram(self.core, 0, _MEMORY):
            raise HostError("libunicorn takes no memory")
        self.memory: Any = ffi.buffer(lib.kc_memory(self.core), _MEMORY)
        self.put(_GDT, _DESCRIPTORS)
        self.put(_CODE, bytes.fromhex(code))
        self.put(_IDT_REGISTER, (0x7FF | _IDT << 16).to_bytes(6, "little"))
        lib.kc_set_flat(self.core, _GDT, len(_DESCRIPTORS) - 1)
        registers = self.registers()
        registers.eip, registers.esp, registers.eflags = _CODE, _STACK, 2
        lib.kc_set_registers(self.core, registers)

    def put(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = data

    def registers(self) -> Any:  # noqa: ANN401 - cffi has no types
        registers = ffi.new("kc_registers *")
        lib.kc_get_registers(self.core, registers)
        return registers

    def run(self, budget: int = _BUDGET) -> Any:  # noqa: ANN401
        stop = ffi.new("kc_stop *")
        lib.kc_run(self.core, budget, 0, stop)
        return stop

    def runs_to(self, reason: Reason) -> bool:
        return bool(self.run().reason == reason)

    def raises(self, vector: int, error_code: int = 0) -> bool:
        stop = self.run()
        return (stop.reason, stop.vector, stop.error_code) == (Reason.EXCEPTION, vector, error_code)


@cache
def _found_out() -> int:
    """Return what the core says of a guest that has run, bits of its header."""
    guest = _Guest(_JUMPS + _STORE + _HLT)
    guest.run()
    facts: int = lib.kc_facts(guest.core)
    return facts


def _accesses_memory() -> bool:
    guest, window = _Guest(_STORE + _HLT), ffi.new("kc_window *")
    guest.run()
    lib.kc_window_now(guest.core, window)
    return bool(window.pages)


def _has_base() -> bool:
    guest = _Guest(_LOAD_ES + _HLT)
    return guest.runs_to(Reason.HALTED) and guest.registers().es_base == _BASE


def _counts_instructions() -> bool:
    count = 50
    return bool(_Guest("90" * count + _HLT).run().instructions == count + 1)


def _budget_is_exact() -> bool:
    budget = 20
    guest = _Guest("40" * (budget + 1) + _HLT)  # inc %eax
    stop = guest.run(budget)
    return bool(stop.reason == Reason.INSTRUCTIONS and guest.registers().eax == budget)


def _notices_code_that_changes() -> bool:
    return _Guest(_REWRITES_ITSELF + _HLT).runs_to(Reason.HALTED)


def _forgets_exceptions() -> bool:
    guest = _Guest(_UD2)
    return guest.raises(_INVALID_OPCODE) and guest.raises(_INVALID_OPCODE)


def _takes_interrupts() -> bool:
    guest = _Guest(_LIDT + _STI + _HLT)
    guest.put(_IDT + 8 * 8, _gate(_HANDLER))
    guest.put(_HANDLER, bytes.fromhex(_HLT))
    lib.kc_pic_out(guest.core, 0x21, 1, 0)
    lib.kc_pic_request(guest.core, 0)
    pushed = int.from_bytes(guest.memory[_STACK - 12 : _STACK - 8], "little")
    return (
        guest.runs_to(Reason.HALTED)
        and guest.registers().eip == _HANDLER + 1
        and int.from_bytes(guest.memory[_STACK - 12 : _STACK - 8], "little") > _CODE + 8 > pushed
    )


def _changes_rings() -> bool:
    guest = _Guest(_LIDT + _ENTER_RING_3)
    guest.put(_IDT + 8 * 0x80, _gate(_HANDLER, access=0xEE))
    guest.put(_HANDLER, bytes.fromhex(_HLT))
    guest.put(_USER, bytes.fromhex(_INT_80))
    guest.put(_TSS + 4, (_INNER_STACK | 0x10 << 32).to_bytes(8, "little"))
    return (
        guest.runs_to(Reason.HALTED)
        and guest.registers().eip == _HANDLER + 1
        and guest.registers().esp == _INNER_STACK - 5 * 4
        and guest.memory[_INNER_STACK - 20 : _INNER_STACK - 16] == (_USER + 2).to_bytes(4, "little")
    )


def _counts_time_stamps() -> bool:
    guest = _Guest(_RDTSC + _HLT)
    return guest.runs_to(Reason.HALTED) and guest.registers().eax == 0


def _goes_back() -> bool:
    guest = _Guest(_STORE + _HLT)
    if lib.kc_snapshot(guest.core) != 0 or not guest.runs_to(Reason.HALTED):
        return False
    if lib.kc_snapshot(guest.core) != 1:
        return False
    written = [lib.kc_page_written(guest.core, 0, page) for page in (_DATA // PAGE_SIZE, _STACK // PAGE_SIZE)]
    return (
        written == [True, False]
        and lib.kc_reset(guest.core, 0) == 0
        and guest.memory[_DATA : _DATA + 1] == b"\0"
        and guest.registers().eip == _CODE
    )


def _trial(name: str, text: str, *, speed: bool = False) -> Fact:
    return Fact(name, holds=False, text=text, is_for_speed=speed)


_TRIALS: tuple[tuple[Fact, Callable[[], bool]], ...] = (
    (
        _trial("replaced", "libunicorn calls our functions in place of its own", speed=True),
        lambda: bool(_found_out() & lib.KC_REPLACED),
    ),
    (
        _trial("registers", "probes read ESP, EAX and EBP where the CPU keeps them", speed=True),
        lambda: bool(_found_out() & lib.KC_REGISTERS),
    ),
    (
        _trial("counting", "blocks of code count their instructions themselves", speed=True),
        lambda: bool(_found_out() & lib.KC_COUNTS),
    ),
    (
        _trial("exit checks", "no check follows each load and store", speed=True),
        lambda: bool(_found_out() & lib.KC_NO_CHECKS),
    ),
    (
        _trial("flags", "instructions that load flags are noticed", speed=True),
        lambda: bool(_found_out() & lib.KC_FLAGS),
    ),
    (
        _trial("jumps", "blocks of code know themselves where an indirect jump leads", speed=True),
        lambda: bool(_found_out() & lib.KC_JUMPS_KEPT),
    ),
    (
        _trial("memory", "loads and stores are single instructions of the host", speed=True),
        _accesses_memory,
    ),
    (_trial("segments", "the bases of segments are found in the CPU's state"), _has_base),
    (_trial("instructions", "instructions are counted right"), _counts_instructions),
    (_trial("budget", "a run ends after exactly so many instructions"), _budget_is_exact),
    (_trial("changing code", "code that is written to is translated again"), _notices_code_that_changes),
    (_trial("interrupts", "an interrupt reaches its handler, after sti"), _takes_interrupts),
    (_trial("rings", "int n enters ring 0 from ring 3, on the stack of the TSS"), _changes_rings),
    (_trial("exceptions", "a second exception is no double fault"), _forgets_exceptions),
    (
        _trial("error codes", "the error code of an exception is known"),
        lambda: _Guest(_LOAD_BAD_SELECTOR + _HLT).raises(_GENERAL_PROTECTION, 0x1234),
    ),
    (
        _trial("lock", "LOCK where it must not stand is #UD"),
        lambda: _Guest(_LOCK_MOV + _HLT).raises(_INVALID_OPCODE),
    ),
    (
        _trial("alignment", "an operand of SSE that is not aligned is #GP"),
        lambda: _Guest(_ENABLE_SSE + _MOVAPS_MISALIGNED + _HLT).raises(_GENERAL_PROTECTION),
    ),
    (
        _trial("system calls", "syscall is #UD, as on a CPU of Intel's"),
        lambda: _Guest(_SYSCALL + _HLT).raises(_INVALID_OPCODE),
    ),
    (_trial("time stamps", "rdtsc does not read the host's clock"), _counts_time_stamps),
    (
        _trial("features", "instructions that cpuid does not promise are #UD"),
        lambda: all(_Guest(each + _HLT).raises(_INVALID_OPCODE) for each in (_POPCNT, _VADDPS)),
    ),
    (_trial("snapshots", "memory and registers go back (memfd, mprotect)"), _goes_back),
)
