"""Random programs of memory accesses, with page states that change as they go, in QEMU and here: RAM, page tables and registers at their end.

``python -m tests.oracle.memory_programs --count 100 --seed 7`` runs more of them, and others, than the tests do.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emulator.loader.image import KernelImage
from emulator.machine.core.observed import BlockFunction, BlockResult, BlockRole
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers import qemu
from tests.helpers.guest import FUNCTION, linked
from tests.helpers.memory_programs import DIRECTORIES, END, FRAMES, Choice, program
from tests.helpers.three_memories import MACROS, RAM

if TYPE_CHECKING:
    from emulator.machine.core.handle import Mmu

_KINDS: Final = 11  # without pauses: QEMU would halt for good
_LONGEST: Final = 80
_REGISTERS: Final = frozenset({"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "cr0", "cr2", "cr3"})
_BOOT_LOADERS: Final = range(0x20127C, 0x201400)
"""Entries of the pages from 0x9f000 to 0xfffff: somewhere there lies the GDT, in QEMU elsewhere than here."""


# All frames belong to an allocator that has handed out none of them.
_SEEDED: Final = f"""
        pushl   $0x{FRAMES + 0x8000:x}
        pushl   $0x{FRAMES:x}
        call    seed
        addl    $8, %esp
        jmp     seeded
        function seed
        ret
        ends    seed
seeded:
"""
SEED: Final = BlockFunction(
    BlockRole.SEED,
    BlockResult.OTHER,
    0,
    pages=False,
    stores_block=False,
    is_one_page=False,
    values={"start": 0, "end": 1},
)


def random_program(seed: int) -> str:
    """Return a program: some choices of `tests.helpers.memory_programs`."""
    chosen = random.Random(seed)
    count = chosen.randrange(5, _LONGEST)
    choices: list[Choice] = [
        (chosen.randrange(_KINDS), *(chosen.randrange(0x10000) for _ in range(3)))  # type: ignore[misc]
        for _ in range(count)
    ]
    return FUNCTION + _SEEDED + MACROS + program(choices, devices=False)


def differences(source: str, folder: Path, mmus: tuple[Mmu, ...] = ("fast", "ordinary")) -> list[str]:
    """Run a program in QEMU and here, and say what differs at its end.

    Args:
        source: The program.
        folder: For the kernel's file.
        mmus: Ways in which it accesses memory here; on the first also with checked accesses, where no page from `HIGH` on may be accessed.
    """
    kernel = folder / "program.elf"
    kernel.write_bytes(linked(source))
    image = KernelImage.read(kernel)
    expected = qemu.inspect(kernel, image.entry, END).at_end
    found = []
    for mmu, checked in ((mmus[0], True), *((mmu, False) for mmu in mmus)):
        machine = Machine(image, mmu=mmu, ram=RAM)
        if checked:
            record(machine, [RecordedFunction("seed", 2)])
            machine.observers.check_accesses([SEED])
        machine.run(max_instructions=20_000_000)
        name = f"{mmu}, checked" if checked else mmu
        memory = machine.memory.read(0, END)
        words = (at for at in range(DIRECTORIES[0], END, 4) if at not in _BOOT_LOADERS)
        differ = [at for at in words if memory[at : at + 4] != expected.ram[at : at + 4]]
        if differ:
            found.append(f"{name}: memory at {', '.join(f'0x{at:08x}' for at in differ[:8])}")
        registers = machine.registers()._asdict()
        found += [
            f"{name}: {register} 0x{registers[register]:08x}, in QEMU 0x{value:08x}"
            for register, value in expected.registers.items()
            if register in _REGISTERS and registers[register] != value
        ]
    return found


def main() -> int:
    """Compare as many programs as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how many programs (100)")
    parser.add_argument("--seed", type=int, default=1, help="of the first of them (1)")
    options = parser.parse_args()
    bad = 0
    for seed in range(options.seed, options.seed + options.count):
        with tempfile.TemporaryDirectory(prefix="kmemu-program-") as folder:
            found = differences(random_program(seed), Path(folder))
        bad += bool(found)
        for line in found:
            print(f"seed {seed}: {line}")  # noqa: T201 - the command's output
    print(f"{options.count} programs, {bad} that differ")  # noqa: T201 - the same
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
