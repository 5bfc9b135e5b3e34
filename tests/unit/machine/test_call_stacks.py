"""Call stacks of recorded calls in kernels that gcc made, with and without frame pointers."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.recorded import held_calls

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
#define REAL __attribute__((noinline, noclone))
static volatile unsigned seen;
REAL unsigned allocate(unsigned size) { seen += size; return seen; }
REAL unsigned outer_allocate(unsigned size)
{
    volatile unsigned room[20];
    room[size & 15] = size;
    return allocate(size) + room[size & 7];
}
REAL unsigned third(unsigned n) { volatile unsigned a[7]; a[n & 3] = n; return outer_allocate(n) + a[n & 1]; }
REAL unsigned second(unsigned n, unsigned m) { return third(n * m) + third(m) + seen; }
REAL unsigned first(unsigned n) { unsigned sum = 0; for (unsigned i = 1; i < n; i++) sum += second(n, i); return sum; }
void kmain(void) { seen = first(4); __asm__ volatile("outl %0, $0xf4" : : "a"(0)); for (;;) ; }
"""
ENTRY = """
        .section .multiboot, "a"
        .long   0x1badb002, 3, -(0x1badb002 + 3)
        .text
        .globl  _start
        .type   _start, @function
_start: movl    $0x180000, %esp
        xorl    %ebp, %ebp
        call    kmain
        .size   _start, . - _start
"""
LINKER_SCRIPT = """
ENTRY(_start)
PHDRS { text PT_LOAD FLAGS(5); data PT_LOAD FLAGS(6); }
SECTIONS
{
    . = 0x00100000;
    .text : { KEEP(*(.multiboot)) *(.text*) } :text
    .eh_frame : { KEEP(*(.eh_frame)) } :text
    .data : { *(.data*) } :data
    .bss : { *(.bss*) } :data
    /DISCARD/ : { *(.note*) *(.comment) }
}
"""
WAYS = {
    "frame pointers alone": ["-fno-omit-frame-pointer", "-fno-asynchronous-unwind-tables"],
    ".debug_frame": ["-fomit-frame-pointer", "-g", "-fno-asynchronous-unwind-tables"],
    ".eh_frame": ["-fomit-frame-pointer", "-fasynchronous-unwind-tables"],
    ".eh_frame, small": ["-fomit-frame-pointer", "-fasynchronous-unwind-tables", "-Os"],
    "both": ["-fno-omit-frame-pointer", "-g", "-fasynchronous-unwind-tables"],
}


@pytest.fixture(params=WAYS, ids=str)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> KernelImage:
    (tmp_path / "kernel.c").write_text(SOURCE)
    (tmp_path / "entry.S").write_text(ENTRY)
    (tmp_path / "kernel.ld").write_text(LINKER_SCRIPT)
    options = [
        "-m32",
        "-O2",
        "-ffreestanding",
        "-fno-pie",
        "-no-pie",
        "-nostdlib",
        "-static",
        "-fcf-protection=none",
    ]
    options += ["-fno-optimize-sibling-calls", "-fno-stack-protector", *WAYS[request.param]]
    command = ["gcc", *options, "-Wl,--build-id=none,-T,kernel.ld", "-o", "kernel.elf", "entry.S", "kernel.c"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return KernelImage.read(tmp_path / "kernel.elf")


def test_every_frame_is_found(image: KernelImage) -> None:
    machine = Machine(image)
    recording = record(machine, [RecordedFunction("allocate", 1), RecordedFunction("outer_allocate", 1)])
    machine.run(timeout_s=10)
    calls = held_calls(recording)
    assert [call.arguments for call in calls if call.function == "outer_allocate"] == [
        (4,),
        (1,),
        (8,),
        (2,),
        (12,),
        (3,),
    ]
    assert [(call.depth, call.function) for call in calls] == [(0, "outer_allocate"), (1, "allocate")] * 6
    for call in calls:
        frames = recording.stack(call.stack)
        found = [image.function_at(frame - 1) for frame in frames]
        names = [function[0].name for function in found if function is not None]
        inner = ["outer_allocate"] if call.depth else []
        assert names == [*inner, "third", "second", "first", "kmain", "_start"]
