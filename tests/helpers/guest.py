"""Tiny guests for tests: a few lines of assembly become a Multiboot kernel.

A guest has its code in the page at `CODE`, its data (after `.data`) in a page of its own, a stack, and these macros:

* ``exit VALUE`` ends the run through the debug exit device;
* ``put REGISTER`` appends a 32-bit register to `results`, which the tests read with `results_of`;
* ``paging DIRECTORY`` switches paging on, with pages of 4 MiB; EAX is lost.
"""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from emulator.machine.core.handle import Core

CODE = 0x0010_0000
HEADER_SIZE = 12  # the Multiboot header lies in front of the code
ENABLE_SSE = """
        movl    %cr4, %eax
        orl     $0x600, %eax            # OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    %cr0, %eax
        andl    $~4, %eax               # EM
        orl     $2, %eax
        movl    %eax, %cr0
"""

_PRELUDE = """
        .macro  exit value
        movl    $\\value, %eax
        movw    $0xf4, %dx
        outl    %eax, %dx
        .endm
        .macro  put register
        pushl   %edi
        movl    results_end, %edi
        movl    %\\register, (%edi)
        addl    $4, results_end
        popl    %edi
        .endm
        .macro  paging directory
        movl    $\\directory, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x10, %eax             # PSE
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        .endm

        .section .multiboot, "a"
        .long   0x1badb002, 3, -(0x1badb002 + 3)
        .data
results_end:
        .long   results
        .bss
        .balign 4096
        .globl  results
results:
        .skip   4096
        .skip   4096
stack:
        .text
        .globl  _start
        .type   _start, @function
_start:
"""
_WITH_STACK = "        movl    $stack, %esp\n"
_LINKER_SCRIPT = """
ENTRY(_start)
SECTIONS
{
    . = 0x00100000;
    .text : { KEEP(*(.multiboot)) *(.text) }
    .data : ALIGN(4096) { *(.data) }
    .bss : ALIGN(4096) { *(.bss) }
    __end = .;
    /DISCARD/ : { *(.note*) *(.comment) *(.eh_frame) }
}
"""
_COMMAND = (
    "gcc",
    "-m32",
    "-g",
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none,-z,max-page-size=4096",
)


#: Macros that say where a function begins and ends.
FUNCTION = """
        .macro  function name
        .type   \\name, @function
\\name:
        .endm
        .macro  ends name
        .size   \\name, . - \\name
        .endm
"""
#: A guest that calls `add` six times.
ADDING = (
    FUNCTION
    + """
        movl    $6, %ecx
1:      pushl   %ecx
        pushl   $40
        pushl   $30
        pushl   $20
        pushl   %ecx
        call    add
returns:
        addl    $16, %esp
        popl    %ecx
        loop    1b
        put     eax
        exit    0
        function add
        movl    4(%esp), %eax
        addl    8(%esp), %eax
        ret
        ends    add
"""
)


def assemble(source: str, *, stack: bool = True) -> KernelImage:
    """Make a kernel of assembly that begins at ``_start``.

    Args:
        source: For the GNU assembler.
        stack: Load ESP first.
    """
    return KernelImage(linked(source, stack=stack), "guest.elf")


def linked(source: str, *, stack: bool = True) -> bytes:
    """Return the file of such a kernel."""
    return _link(_PRELUDE + (_WITH_STACK if stack else "") + source + "\n")


def core_of(machine: Machine) -> Core:
    """Return the core's handle, for tests of what it promises, and of what calls it."""
    return machine._core  # noqa: SLF001


def machine_of(source: str, **description: Any) -> Machine:  # noqa: ANN401 - the keywords of Machine
    """Return a machine with the guest loaded, see `assemble`."""
    return Machine(assemble(source), **description)


def results_of(machine: Machine, count: int) -> list[int]:
    """Return the first *count* words that the guest has ``put``."""
    return list(machine.memory.load_words(symbol(machine, "results"), count))


def symbol(machine: Machine, name: str) -> int:
    """Return the address of one of the guest's labels."""
    found = machine.image.symbol(name)
    assert found is not None, f"the guest has no symbol {name!r}"
    return found.address


def as_bytes(code: Iterable[int]) -> str:
    """Return bytes as a line of assembly."""
    return "        .byte   " + ", ".join(f"0x{byte:02x}" for byte in code)


@cache
def _link(text: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="kmemu-guest-") as directory:
        source, script, output = (Path(directory) / name for name in ("guest.S", "guest.ld", "guest.elf"))
        source.write_text(text)
        script.write_text(_LINKER_SCRIPT)
        command = [*_COMMAND, f"-Wl,-T,{script}", "-o", str(output), str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise AssertionError("these tests need gcc: apt-get install gcc") from error
        assert done.returncode == 0, f"the guest cannot be assembled: {done.stderr}\n{text}"
        return output.read_bytes()


def runs_of_the_cpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each run of the machine's CPU from now on."""
    runs: list[int] = []
    run = machine.cpu.run

    def counted(*arguments: int | None) -> object:
        runs.append(1)
        return run(*arguments)

    monkeypatch.setattr(machine.cpu, "run", counted)
    return runs
