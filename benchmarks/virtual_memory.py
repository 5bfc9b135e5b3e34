"""Virtual memory: page faults, address spaces and ring changes against QEMU; page tables from Python."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from in_process import machine_of
from measure import (
    Row,
    at_least,
    at_most,
    cpu_seconds,
    kmemu,
    kmemu_command,
    least,
    medians,
    qemu_command,
    seconds_of,
)

from emulator.loader.builtin import resolve

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
QEMU_EXIT, KMEMU_EXIT = 1, 0  # of a kernel that reports success
RUNS = 5
FAULTS, SPACES = 1_000_000, 100_000
PASSES = 200_000  # over 16 KiB
ROUNDS = 6000  # of two tasks each
TRANSLATED = 200_000

# Paging is on, and the first 4 MiB are mapped to themselves; `table` is for the 4 MiB above them.
PAGED = """
        gate    14, on_fault
        gate    0x40, on_call, 0xee
        lidt    idtr
        movl    $identity, %edi
        movl    $3, %eax
        cld
1:      stosl
        addl    $4096, %eax
        cmpl    $0x400003, %eax
        jne     1b
        movl    $identity + 3, directory
        movl    $table + 7, directory + 4
        movl    $directory, %eax
        movl    %eax, %cr3
        movl    %cr0, %eax
        orl     $0x80010000, %eax
        movl    %eax, %cr0
        jmp     start
        .bss
        .balign 4096
directory: .skip 4096
table:  .skip   4096
identity: .skip 4096
frames: .skip   8 * 4096
        .text
start:
"""
# A page is read, which faults; the handler maps it; it is unmapped.
FAULTING = """
        movl    ${count}, %ebp
        movl    $0x400000, %ebx
1:      movl    (%ebx), %eax
        movl    $0, table
        invlpg  (%ebx)
        decl    %ebp
        jnz     1b
        exit    0
on_fault:
        movl    %cr2, %eax
        shrl    $12, %eax
        andl    $1023, %eax
        movl    $frames + 3, table(, %eax, 4)
        addl    $4, %esp
        iret
on_call:
"""
# A space is made: directory and table are cleared. A user's program in it writes to four pages, which fault and are mapped to
# cleared frames, and calls the kernel, which goes on with the next space.
CHURNING = """
        movl    ${count}, %ebp
space:  movl    $table, %edi
        movl    $1024, %ecx
        xorl    %eax, %eax
        rep stosl
        movl    $program + 5, table
        movl    $directory, %eax
        movl    %eax, %cr3
        pushl   $0x23
        pushl   $0x406000
        pushl   $2
        pushl   $0x1b
        pushl   $0x400000
        movw    $0x23, %ax
        movw    %ax, %ds
        movw    %ax, %es
        iret
on_fault:
        pushl   %eax
        pushl   %ecx
        pushl   %edi
        movl    %cr2, %eax
        shrl    $12, %eax
        andl    $7, %eax
        movl    %eax, %edi
        shll    $12, %edi
        addl    $frames, %edi
        leal    7(%edi), %ecx
        movl    %ecx, table(, %eax, 4)
        movl    $1024, %ecx
        xorl    %eax, %eax
        rep stosl
        popl    %edi
        popl    %ecx
        popl    %eax
        addl    $4, %esp
        iret
on_call:
        addl    $20, %esp
        decl    %ebp
        jnz     space
        exit    0
        .balign 4096
program:
        pushl   $1
        movl    $2, 0x401000
        movl    $3, 0x402000
        movl    $4, 0x403000
        int     $0x40
        .balign 4096
"""
# A program in ring 3 goes through 16 KiB again and again.
COMPUTING = """
        movl    ${count}, %ebp
        movl    $program + 5, table
        .irp    page, 1, 2, 3, 4
        movl    $frames + 4096 * \\page + 7, table + 4 * \\page
        .endr
        pushl   $0x23
        pushl   $0x406000
        pushl   $2
        pushl   $0x1b
        pushl   $0x400000
        movw    $0x23, %ax
        movw    %ax, %ds
        iret
on_fault:
on_call:
        exit    0
        .balign 4096
program:
1:      movl    $0x401000, %esi
2:      movl    (%esi), %eax
        addl    4(%esi), %eax
        movl    %eax, (%esi)
        movl    %ebp, 4(%esi)
        addl    $8, %esi
        cmpl    $0x405000, %esi
        jne     2b
        decl    %ebp
        jnz     1b
        int     $0x40
        .balign 4096
"""


def kernel(code: str, count: int) -> bytes:
    """Return an ELF file with a kernel that does something so often and exits."""
    sys.path.append(str(ROOT))
    from tests.helpers.guest import linked
    from tests.helpers.rings import DESCRIPTORS

    return linked(DESCRIPTORS + PAGED + code.format(count=count))


def against_qemu(code: str, count: int) -> tuple[float, float]:
    """Return the CPU seconds that the work takes here and in QEMU, without start-up: that is what one time takes."""
    with TemporaryDirectory() as folder:
        paths = []
        for times in (count, 1):
            paths.append(Path(folder) / f"{times}.elf")
            paths[-1].write_bytes(kernel(code, times))
        ours_s, qemu_s, ours_start_s, qemu_start_s = least(
            RUNS, *(timed(path) for path in paths for timed in (ours, theirs))
        )
    return ours_s - ours_start_s, qemu_s - qemu_start_s


def ours(path: Path) -> Callable[[], float]:
    """Return what times a boot here."""
    return lambda: cpu_seconds(kmemu("boot", str(path)), KMEMU_EXIT)


def theirs(path: Path) -> Callable[[], float]:
    """Return what times a boot in QEMU."""
    return lambda: cpu_seconds(qemu_command(path), QEMU_EXIT)


def whole(name: str, what: str, ours_s: float, qemu_s: float, limit: float) -> Row:
    """Compare what all of the work takes."""
    ratio = ours_s / qemu_s
    return Row(
        name=name,
        what=what,
        measured=f"{ours_s:.2f} s",
        peer=f"QEMU TCG {qemu_s:.2f} s",
        ratio=ratio,
        target=at_most(ratio, limit, f"ratio <= {limit}"),
    )


def churn() -> Row:
    """Run vm_churn, whose tasks in ring 3 come and go in spaces of their own; in CPU time, without start-up."""
    path = Path(resolve("firmware:vm_churn"))
    ours_s, qemu_s, ours_start_s, qemu_start_s = least(
        RUNS,
        *(
            timed
            for rounds in (f"calls={ROUNDS}", "calls=1")
            for timed in (
                partial(cpu_seconds, kmemu_command("vm_churn", rounds), KMEMU_EXIT),
                partial(cpu_seconds, qemu_command(path, rounds), QEMU_EXIT),
            )
        ),
    )
    what = f"emulation of vm_churn: {2 * ROUNDS / 1e3:.0f} k tasks in ring 3"
    return whole("vm-churn", what, ours_s - ours_start_s, qemu_s - qemu_start_s, 1.5)


def page_faults() -> Row:
    """A fault, a handler in the guest that maps the page, and back."""
    ours_s, qemu_s = against_qemu(FAULTING, FAULTS)
    each_s = ours_s / FAULTS
    return Row(
        name="page-faults",
        what=f"{FAULTS / 1e6:.0f} M page faults: handler, map, iret, unmap, invlpg",
        measured=f"{each_s * 1e6:.2f} us each",
        peer=f"QEMU TCG {qemu_s / FAULTS * 1e6:.2f} us",
        ratio=ours_s / qemu_s,
        target=at_most(each_s, 5e-6, "<= 5 us"),
    )


def address_spaces() -> Row:
    """Address spaces that are made, entered in ring 3, filled by faults, and left by a system call."""
    ours_s, qemu_s = against_qemu(CHURNING, SPACES)
    ratio = ours_s / qemu_s
    return Row(
        name="address-spaces",
        what=f"{SPACES / 1e3:.0f} k spaces: tables cleared, CR3, ring 3, 5 faults, int 0x40",
        measured=f"{ours_s / SPACES * 1e6:.1f} us each",
        peer=f"QEMU TCG {qemu_s / SPACES * 1e6:.1f} us",
        ratio=ratio,
        target=at_most(ratio, 1.5, "ratio <= 1.5"),
    )


def ring_3() -> Row:
    """Loads and stores of a program in ring 3, with paging."""
    what = f"{PASSES // 1000} k times through 16 KiB in ring 3"
    return whole("ring-3", what, *against_qemu(COMPUTING, PASSES), 0.9)


def translations() -> Row:
    """Addresses of a kernel with paging, translated in Python, all at once against one by one."""
    machine = machine_of("btron_demo")
    machine.run()
    space = machine.address_space()
    addresses = [0x80000000 + 36 * number for number in range(TRANSLATED)]

    def together() -> None:
        space.translate_all(addresses)

    def one_by_one() -> None:
        for address in addresses:
            space.translate(address)

    together_s, one_by_one_s = medians(9, lambda: seconds_of(together), lambda: seconds_of(one_by_one))
    rate = TRANSLATED / together_s
    return Row(
        name="translations",
        what=f"{TRANSLATED / 1e3:.0f} k addresses translated in Python by page tables",
        measured=f"{rate / 1e6:.1f} M/s",
        peer=f"one by one {TRANSLATED / one_by_one_s / 1e6:.2f} M/s",
        ratio=together_s / one_by_one_s,
        target=at_least(rate, 1e6, ">= 1 M/s"),
    )
