"""Random guest programs, in every mode of the CPU, with and without paging, handlers and a timer."""

from __future__ import annotations

import hashlib
import re
import struct
from enum import Enum
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.memory import DEFAULT_RAM
from emulator.run.ending import Budget, How
from emulator.run.to_end import run_to_end
from tests.fuzz.harness import random_code
from tests.fuzz.harness.target import Case, Target
from tests.helpers.guest import assemble
from tests.unit.loader.elf_builder import E_PHNUM, EHDR, PHDR, Elf, Load, Sym, build_elf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from emulator.run.ending import Ending
    from tests.fuzz.harness.limits import Meter

_SOURCE = Path(__file__).with_name("guests.S")
_CHUNKS, _CHUNK, _LOW = 8, 32, 0x8000
_PAGE, _LARGE = 0x1000, 0x400000
_CR0, _CR0_PAGING, _CR4_PSE, _CR4_PAE = 0x11, 1 << 31, 0x10, 0x20
_P, _W, _U, _PS = 1, 2, 4, 0x80
_IF, _VM, _IOPL_3 = 0x200, 1 << 17, 0x3000
_FLAT_CODE, _FLAT_DATA = 0x00CF9A000000FFFF, 0x00CF92000000FFFF
_RING_3 = 3 << 45
_SAME = struct.pack("<2048I", *(page * _PAGE | _P | _W | _U for page in range(2048)))  # the first 8 MiB
_WITH_ERROR_CODE = (8, 10, 11, 12, 13, 14, 17)
_CASES_FOR_A_MACHINE = 300
_AGAIN_EVERY, _REFERENCE_EVERY, _ENDLESS_EVERY = 16, 64, 400
_BUDGETS = (300, 1_000, 4_000)
_NUMBERS = re.compile("0x[0-9a-f]+")
_TIMEOUT_S, _SHORT_S = 0.5, 0.05


class Mode(Enum):
    """How the program runs: code segment, EFLAGS, and whether the stack and data are ring 3's."""

    RING_0 = (0x08, 0x10, 0)
    RING_3 = (0x1B, 0x23, 0)
    CODE_16 = (0x30, 0x10, 0)
    CODE_16_RING_3 = (0x43, 0x23, 0)
    WITH_BASE = (0x38, 0x10, 0)
    VIRTUAL_8086 = (_LOW >> 4, 0x900, _VM)


class Paging(Enum):
    """How the program sees memory."""

    NONE = 0
    LARGE = _CR4_PSE
    SMALL = 1
    PAE = _CR4_PAE


class Observed(NamedTuple):
    """What two runs of a program must have in common."""

    ending: Ending  # without its error, of which two are never equal
    problem: str
    registers: tuple[int, ...]
    memory: str
    output: str

    @property
    def timed_out(self) -> bool:
        return self.problem.startswith("time budget")

    @property
    def what(self) -> str:
        """What happened, as far as both MMUs report."""
        if not self.problem:
            return self.ending.how.value
        text = self.problem
        return "unmapped" if "unmapped" in text.lower() else text.split(",")[0].split(" at ")[0]


class Guests(Target):
    """Programs of 8 chunks; where there are handlers, an exception leads to the next chunk."""

    name = "guests"
    suffix = ".elf"
    count = 200_000
    cases_a_process = 2_000

    def __init__(self) -> None:
        self._machine: Machine | None = None
        self._used = 0

    def make(self, random: Random) -> Case:
        mode = random.choice(tuple(Mode))
        paging = random.choice(tuple(Paging))
        patches = self._patches(random, mode, paging)
        endless = random.randrange(_ENDLESS_EVERY) == 0
        timeout = _SHORT_S if endless else _TIMEOUT_S
        budget = () if endless else ("--max-instructions", str(random.choice(_BUDGETS)))
        command = ("boot", "{}", "--timeout", str(timeout), *budget)
        return Case(self._elf(patches), (command,), timeout, DEFAULT_RAM.end, f"{mode.name} {paging.name}")

    # -- making --------------------------------------------------------------------------------------

    @cached_property
    def _image(self) -> KernelImage:
        return assemble(_SOURCE.read_text(), stack=False)

    def prepare(self) -> None:
        self._image.symbols  # noqa: B018 - assembled before the workers are made

    @cache  # noqa: B019 - there are few targets
    def _at(self, name: str) -> int:
        symbol = self._image.symbol(name)
        assert symbol is not None, name
        return symbol.address

    def _patches(self, random: Random, mode: Mode, paging: Paging) -> dict[int, bytes]:
        code, data, flags = mode.value
        base = self._at("program")
        start = {Mode.WITH_BASE: 0x1000, Mode.RING_0: base, Mode.RING_3: base}.get(mode, 0)
        flags |= 2 | random.choice((0, _IF)) | random.choice((0, 0, _IOPL_3))
        esp = (
            0xFF0
            if mode is Mode.VIRTUAL_8086
            else random.choice((0x300000, 0x300000, random_code.word(random)))
        )
        words = {
            "with_idt": random.randrange(4) > 0,
            "with_timer": random.randrange(4) == 0,
            "cr0": _CR0
            | (_CR0_PAGING if paging is not Paging.NONE else 0)
            | random.choice((0, 0, 1 << 16, 0xE)),
            "cr4": (paging.value & ~1) | random.choice((0, 0, 0x600)),
            "enter_eip": start,
            "enter_cs": code,
            "enter_eflags": flags,
            "enter_esp": esp,
            "enter_ss": data,
            "enter_ds": 0x23 if data == 0x23 else 0x10,
        }
        patches = {self._at(name): struct.pack("<I", value) for name, value in words.items()}
        patches[self._at("gdt")] = self._gdt(base)
        patches[self._at("registers")] = struct.pack("<7I", *(random_code.word(random) for _ in range(7)))
        patches[self._at("idt")] = self._idt(random)
        patches[self._at("directory")] = self._tables(random, paging)
        patches[base] = b"".join(random_code.program(random, _CHUNK) for _ in range(_CHUNKS))
        return patches

    def _gdt(self, program: int) -> bytes:
        def based(descriptor: int, base: int) -> int:
            return descriptor | (base & 0xFFFFFF) << 16 | (base >> 24) << 56

        tss = based(0x0000890000000067, self._at("tss"))
        code_16 = based(0x00009A000000FFFF, program)
        with_base = based(_FLAT_CODE, program - 0x1000)
        return struct.pack(
            "<9Q",
            *(0, _FLAT_CODE, _FLAT_DATA, _FLAT_CODE | _RING_3, _FLAT_DATA | _RING_3, tss),
            *(code_16, with_base, code_16 | _RING_3),
        )

    def _idt(self, random: Random) -> bytes:
        kind = random.choices(("next", "again", "skip", ""), (30, 1, 4, 6))[0]
        if kind:
            return b"".join(self._gate(vector, kind, 0x8E) for vector in range(256))
        kinds = random.choices(("next", "again", "skip"), k=256)
        accesses = random.choices((0x8E, 0x8E, 0x8F, 0xEE, 0x0E, 0x85, 0x86, 0), k=256)
        return b"".join(map(self._gate, range(256), kinds, accesses))

    @cache  # noqa: B019
    def _gate(self, vector: int, kind: str, access: int) -> bytes:
        name = "on_fault_" + kind + ("_code" if kind == "skip" and vector in _WITH_ERROR_CODE else "")
        handler = self._at("on_tick" if vector in (0x20, 0x27) else name)
        return struct.pack("<HHBBH", handler & 0xFFFF, 8, 0, access, handler >> 16)

    def _tables(self, random: Random, paging: Paging) -> bytes:
        """Return the page directory and what it leads to: RAM where it is, some pages changed."""
        tables = bytearray(8 * _PAGE)
        base, all_rights = self._at("directory"), _P | _W | _U
        if paging is Paging.PAE:
            for index in range(4):
                struct.pack_into("<Q", tables, 8 * index, base + _PAGE * (index + 1) | _P)
            for index in range(4):
                struct.pack_into("<Q", tables, _PAGE + 8 * index, index * _LARGE // 2 | all_rights | _PS)
        elif paging is Paging.SMALL:
            for index in range(2):
                struct.pack_into("<I", tables, 4 * index, base + _PAGE * (index + 1) | all_rights)
            tables[_PAGE : 3 * _PAGE] = _SAME
            for _ in range(random.randrange(40)):
                page = random.choice((random.randrange(0x100), random.randrange(0x108, 0x600)))
                struct.pack_into(
                    "<I", tables, _PAGE + 4 * page, random_code.word(random) & ~7 | random.randrange(8)
                )
        else:
            for index in range(2):
                struct.pack_into("<I", tables, 4 * index, index * _LARGE | all_rights | _PS)
        for _ in range(random.randrange(8)):
            entry = random.randrange(2, _PAGE // 4)
            struct.pack_into("<I", tables, 4 * entry, random.choice((base | 7, random_code.word(random))))
        return bytes(tables)

    def _elf(self, patches: dict[int, bytes]) -> bytes:
        loads = []
        for segment in self._image.segments:
            data = bytearray(segment.data)
            for address, new in patches.items():
                if segment.physical <= address < segment.physical + len(data):
                    data[address - segment.physical : address - segment.physical + len(new)] = new
            loads.append(Load(segment.physical, bytes(data), segment.size, flags=segment.flags))
        symbols = [Sym(name, self._at(name)) for name in ("_start", "next", "over", "program")]
        return build_elf(Elf(loads, self._image.entry, symbols))

    # -- running -------------------------------------------------------------------------------------

    def run(self, case: Case, meter: Meter, number: int) -> str:
        command = case.commands[0]
        budget = int(command[-1]) if "--max-instructions" in command else None
        run = _Run(case, budget, meter, compared=number % _AGAIN_EVERY == 0)
        observed = self._on_the_old_machine(run)
        others: list[tuple[Observed, Callable[[Observed, Observed], bool]]] = []
        if run.compared:
            others.append((run.on(Machine(run.image)), _differences))
        if number % _REFERENCE_EVERY == 0:
            others.append((run.on(Machine(run.image, mmu="reference")), _differences_of_mmus))
        if any(each.timed_out for each in (observed, *(other for other, _ in others))):
            return "time used up"
        for other, differences in others:
            assert not differences(observed, other), f"runs differ:\n{observed}\n{other}"
        how, problem = observed.ending.how, observed.problem
        is_stopped = how in (How.STOPPED, How.NOT_EMULATED)
        return _NUMBERS.sub("N", problem.split(" at ")[0]) if is_stopped else how.value

    def _on_the_old_machine(self, run: _Run) -> Observed:
        """Run on a machine on which other programs have run, and take it back to where it was."""
        if self._machine is None or self._used == _CASES_FOR_A_MACHINE:
            self._machine, self._used = Machine(run.image), 0
        self._used += 1
        machine = self._machine
        with machine.snapshot():
            for address, data in _loads(run.case.data):
                machine.memory.write(address, data)
            machine.cpu.flush_code()
            return run.on(machine)


def _differences(first: Observed, again: Observed) -> bool:
    """Compare with a new machine of the same kind: nothing may differ."""
    return first != again


def _differences_of_mmus(fast: Observed, reference: Observed) -> bool:
    """Compare with the reference MMU, which knows neither address nor error code of a page fault and sets A and D elsewhere.

    Where a budget ends a program is not compared: a block that changes itself is counted otherwise. An access to memory that is not
    there ends the reference MMU's run only, unless it is one to code; then EIP is not compared: Unicorn's own is after an fbstp.
    """
    if How.BUDGET in (fast.ending.how, reference.ending.how):
        return False
    if reference.what == "unmapped" != fast.what:
        return all(lack.address is None for lack in fast.ending.lacks)
    is_same_location = fast.ending.eip == reference.ending.eip or fast.what == "unmapped"
    return fast.what != reference.what or not is_same_location


def _loads(elf: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where each piece of a file that `build_elf` has made goes to, and its bytes."""
    (count,) = struct.unpack_from("<H", elf, E_PHNUM)
    for header in PHDR.iter_unpack(elf[EHDR.size : EHDR.size + count * PHDR.size]):
        _kind, offset, _virtual, physical, size, *_ = header
        yield physical, elf[offset : offset + size]


class _Run(NamedTuple):
    """How a program is to run."""

    case: Case
    budget: int | None
    meter: Meter
    compared: bool

    @property
    def image(self) -> KernelImage:
        return KernelImage(self.case.data, "guest.elf")

    def on(self, machine: Machine) -> Observed:
        with self.meter.watch(self.case.timeout_s, machine.ram.end):
            ending = run_to_end(machine, Budget(self.budget, self.case.timeout_s))
            screen = machine.screen()
        problem = str(ending.error or "")
        assert "\n" not in problem, problem
        # What an instruction needs is read in the kernel's file, which is another one on the old machine.
        ending = ending._replace(
            error=None, lacks=tuple(each for each in ending.lacks if not each.instruction)
        )
        if not self.compared:
            return Observed(ending, problem, (), "", "")
        memory = hashlib.blake2b(machine.memory.view(0, len(machine.memory))).hexdigest()
        return Observed(
            ending, problem, machine.cpu.registers(), memory, repr((screen, *machine.output.values()))
        )
