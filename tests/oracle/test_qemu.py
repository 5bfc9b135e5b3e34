"""The same ELF files in QEMU and here: same text, same exit code, same RAM.

The boot loaders differ, as they may: QEMU's puts its blocks elsewhere, and the kernel keeps addresses of them on its
stack. So the RAM is compared from the same beginning: what QEMU's loader left in memory and registers is copied into
our machine, around the image that our loader has loaded. After that each byte must be the same, without exception.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import pytest

from emulator.errors import BudgetUsedUp, GuestStopped
from emulator.loader.builtin import KERNELS, TWINS, resolve
from emulator.loader.image import KernelImage
from emulator.machine.address_map import MIB
from emulator.machine.consoles import Console
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.machine.memory import RamWindow
from tests.helpers import qemu
from tests.helpers.guest import assemble
from tests.helpers.kernels import ENDLESS, EVERY, EXITING_DEFECTS, LITECORE, LITECORE_DEFECTS, SHUT_DOWN

MANAGED_START, MANAGED_END = 0x00100000, 0x00500000
RAM = RamWindow(MIB, qemu.RAM_MIB * MIB)
LOADER_START, LOADER_END = 0x00000500, 0x0009F000  # where QEMU's loader may have put something: low memory
SCREEN, SCREEN_SIZE = 0xB8000, 80 * 25 * 2

# QEMU ends the command line with a blank where there is nothing after the kernel's name; so there is something.
COMMAND_LINES = dict.fromkeys(EVERY, "oracle=1") | {
    "stress": "calls=40000 seed=7",
    "btron_stress": "calls=20000 seed=7",
    "vm_churn": "calls=500 seed=7",
}


@pytest.fixture(params=[*LITECORE, *LITECORE_DEFECTS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@cache
def image_of(name: str) -> KernelImage:
    return KernelImage.read(resolve(f"firmware:{name}"))


@cache
def in_qemu(name: str) -> qemu.Inspected:
    image = image_of(name)
    return qemu.inspect(
        Path(resolve(f"firmware:{name}")), image.physical_entry, MANAGED_END, COMMAND_LINES[name]
    )


def around(image: KernelImage) -> list[tuple[int, int]]:
    """Return the parts of managed RAM that no segment covers; QEMU leaves garbage between segments."""
    edges = [
        MANAGED_START,
        *(edge for each in image.segments for edge in (each.physical, each.end)),
        MANAGED_END,
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def started_like_qemu(
    image: KernelImage, beginning: qemu.Moment, mmu: Literal["fast", "reference"] = "fast"
) -> Machine:
    """Return a machine at the kernel's entry, with QEMU's boot information in memory and registers."""
    machine = Machine(image, ram=RAM, mmu=mmu)
    machine.memory.write(LOADER_START, beginning.ram[LOADER_START:LOADER_END])
    for start, end in around(image):
        machine.memory.write(start, beginning.ram[start:end])
    registers = machine.cpu.registers()
    general = {key: value for key, value in beginning.registers.items() if key not in {"eip", "eflags"}}
    machine.cpu.set_registers(registers._replace(**general))
    assert registers.eip == beginning.registers["eip"]
    return machine


def assert_same(ours: bytes, theirs: bytes, start: int, image: KernelImage) -> None:
    """Compare memory; a difference is named by its first address and symbol."""
    if ours != theirs:
        different = [
            start + at for at, pair in enumerate(zip(ours, theirs, strict=True)) if pair[0] != pair[1]
        ]
        first = different[0]
        symbol_name = next(
            (
                each.name
                for each in image.symbols.values()
                if each.address <= first < each.address + each.size
            ),
            "-",
        )
        pytest.fail(
            f"{len(different)} bytes differ, the first at 0x{first:08x} ({symbol_name}):"
            f" here 0x{ours[first - start]:02x}, QEMU 0x{theirs[first - start]:02x}"
        )


@pytest.mark.parametrize("name", [*KERNELS, *EXITING_DEFECTS, *TWINS])
def test_text_and_exit_code_are_qemus(name: str) -> None:
    """BTRON's too: its ticks come at other moments in QEMU, so its RAM is not compared, but what it prints is."""
    theirs = qemu.run_to_exit(Path(resolve(f"firmware:{name}")), COMMAND_LINES[name])
    machine = Machine(image_of(name), command_line=COMMAND_LINES[name])
    outcome = machine.run(timeout_s=60)
    assert theirs.serial
    assert outcome.ending is Returned.EXIT
    assert bytes(machine.output[Console.SERIAL]) == theirs.serial
    assert bytes(machine.output[Console.DEBUG]) == theirs.debug
    assert outcome.exit_code == theirs.exit_code


@pytest.mark.parametrize("name", SHUT_DOWN)
def test_a_kernel_that_shuts_the_cpu_down_does_so_in_qemu(name: str) -> None:
    """QEMU resets the PC then, and ends instead, because of ``-no-reboot``."""
    theirs = qemu.run_to_exit(Path(resolve(f"firmware:{name}")), COMMAND_LINES[name])
    machine = Machine(image_of(name), command_line=COMMAND_LINES[name])
    with pytest.raises(GuestStopped, match=r"^triple fault: "):
        machine.run(timeout_s=60)
    assert theirs.exit_code == 0  # not the exit device's: those are odd
    assert theirs.serial == bytes(machine.output[Console.SERIAL])


def test_a_kernel_that_hangs_does_so_in_qemu() -> None:
    machine = Machine(image_of(ENDLESS), command_line=COMMAND_LINES[ENDLESS])
    with pytest.raises(BudgetUsedUp):
        machine.run(max_instructions=3_000_000)
    ours = bytes(machine.output[Console.SERIAL])
    assert ours
    kernel = Path(resolve(f"firmware:{ENDLESS}"))
    assert qemu.text_of_endless(kernel, len(ours), COMMAND_LINES[ENDLESS]) == ours


def test_the_image_is_loaded_like_qemus(name: str) -> None:
    image, theirs = image_of(name), in_qemu(name).at_entry.ram
    ours = Machine(image, command_line=COMMAND_LINES[name]).memory.read(0, MANAGED_END)
    for segment in image.segments:
        span = slice(segment.physical, segment.end)
        assert_same(ours[span], theirs[span], segment.physical, image)
    for start, end in around(image):
        assert not any(ours[start:end])
    assert COMMAND_LINES[name].encode() in theirs[image.end : image.end + 0x2000]


def test_every_byte_of_managed_ram_ends_as_in_qemu(name: str) -> None:
    image, theirs = image_of(name), in_qemu(name)
    machine = started_like_qemu(image, theirs.at_entry)
    assert machine.run(timeout_s=60).ending is Returned.EXIT
    ours = machine.memory.read(MANAGED_START, MANAGED_END - MANAGED_START)
    assert ours != theirs.at_entry.ram[MANAGED_START:]
    assert_same(ours, theirs.at_end.ram[MANAGED_START:], MANAGED_START, image)


def test_the_screen_ends_as_in_qemu() -> None:
    machine = Machine(image_of("demo"))
    machine.run()
    theirs = in_qemu("demo").at_end.ram[SCREEN : SCREEN + SCREEN_SIZE]
    assert_same(machine.memory.read(SCREEN, SCREEN_SIZE), theirs, SCREEN, image_of("demo"))
    assert machine.screen()[0].startswith(" LiteCore demo")


# -- guests of our own --------------------------------------------------------------------------------------------

# What guests with tables of their own have in common.
PAGING_MACROS = """
        .macro  zero address, words
        movl    $\\address, %edi
        xorl    %eax, %eax
        movl    $\\words, %ecx
        cld
        rep stosl
        .endm
        .macro  map_from_0 table, end, entry_size
        movl    $\\table, %edi
        movl    $0x00000003, %eax
1:      movl    %eax, (%edi)
        addl    $0x1000, %eax
        addl    $\\entry_size, %edi
        cmpl    $\\end, %edi
        jne     1b
        .endm
        .macro  paging_on directory, features
        movl    $\\directory, %eax
        movl    %eax, %cr3
        movl    $\\features, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax               # WP off: the supervisor writes everywhere
        movl    %eax, %cr0
        .endm
"""
CODE_PAGE = """
        exit    0
1:      cli
        hlt
        jmp     1b
        .balign 4096
code_page:
        movl    $1, %ebx
        ret
        .balign 4096
"""

# Tables by the guest itself: 4 KiB pages below, 4 MiB pages at 0x80000000, an alias of one page at 0x40000000.
PAGING = """
        zero    0x00200000, 0x1000
        movl    $0x00201007, 0x00200000
        movl    $0x00202007, 0x00200400
        movl    $0x00000083, 0x00200800
        movl    $0x00000083, 0x00200804         # the same again, never written
        map_from_0 0x00201000, 0x00202000, 4
        movl    $0x00300007, 0x00202000
        movl    $0x00301005, 0x00202004         # read only
        movl    $0x00302001, 0x00202ffc
        paging_on 0x00200000, 0x10

        movl    0x00310000, %eax                # read
        movl    %eax, 0x00311000                # written
        incl    0x00312000                      # both
        movl    0x00313000, %eax
        movl    %eax, 0x00313004                # read first, then written
        movl    0x00314ffe, %eax                # across two pages
        movl    %eax, 0x00316ffe
        lock cmpxchgl %ecx, 0x00318000
        bts     $3, 0x00319000
        bt      $3, 0x0031a000
        movl    $1, 0x40000010
        movl    $2, 0x40001010                  # read only, WP off
        movl    0x403ff000, %eax
        movl    0x80310000, %eax
        movl    $3, 0x80320000
        movl    0x80720000, %eax
        movl    $0x0031b000, %esi
        movl    $0x0031c000, %edi
        movl    $0x500, %ecx
        rep movsl
        andl    $~0x60, 0x00201000 + 0x311 * 4
        invlpg  0x00311000
        movl    0x00311000, %eax
        movl    $code_page, %eax
        call    *%eax
        movl    $3, code_page + 1 + 0x80000000  # rewritten through the alias
        call    *%eax
        put     ebx
        movl    %cr0, %eax
        put     eax
"""

# Tables of three levels by the guest itself: 4 KiB pages below 2 MiB, 2 MiB pages above, aliases at 0x40000000 and 0xc0000000.
PAE = """
        zero    0x00300000, 0x2000
        movl    $0x00301001, 0x00300020         # not on the border of a page
        movl    $0x00302001, 0x00300028
        movl    $0x00303001, 0x00300038
        movl    $0x00304007, 0x00301000
        movl    $0x00200083, 0x00301008
        movl    $0x00305007, 0x00302000
        movl    $0x00200083, 0x00303008
        movl    $0x00200083, 0x00303010         # the same again, never written
        map_from_0 0x00304000, 0x00305000, 8
        movl    $0x00310007, 0x00305000
        movl    $0x00311005, 0x00305008         # read only
        movl    $0x00312001, 0x00305ff8
        paging_on 0x00300020, 0x20

        movl    0x001f0000, %eax                # read
        movl    %eax, 0x001f1000                # written
        incl    0x001f2000                      # both
        movl    0x001f3000, %eax
        movl    %eax, 0x001f3004                # read first, then written
        movl    0x001f4ffe, %eax                # across two pages
        movl    %eax, 0x001f6ffe
        movl    %eax, 0x001ffffe                # across a 4 KiB page and a 2 MiB page
        movl    $1, 0x40000010
        movl    $2, 0x40001010                  # read only, WP off
        movl    0x401ff000, %eax
        movl    0xc0310000, %eax
        movl    $3, 0xc0320000
        movl    0xc0520000, %eax
        andl    $~0x60, 0x00304000 + 0x1f1 * 8
        invlpg  0x001f1000
        movl    0x001f1000, %eax
        movl    $code_page, %eax
        call    *%eax
        put     ebx
        movl    %cr4, %eax
        put     eax
        andl    $~0x20, 0x00300020              # A, which QEMU sets there: the manual (4.4.1) reserves the bit
        andl    $~0x20, 0x00300028
        andl    $~0x20, 0x00300038
"""

PORTS = """
        .irp    port, 0x3f9, 0x3fa, 0x3fb, 0x3fd, 0x3fe, 0x3ff, 0xe9, 0x2f0, 0x1234
        movl    $0x5a5a5a5a, %eax
        movl    $\\port, %edx
        inb     %dx, %al
        put     eax
        .endr
        .irp    value, 0x80, 0x03, 0x1b         # line control: divisor latch, 8N1, parity
        movl    $0x3fb, %edx
        movb    $\\value, %al
        outb    %al, %dx
        inb     %dx, %al
        put     eax
        .endr
        movl    $0x3ff, %edx
        movb    $0xa5, %al
        outb    %al, %dx
        inb     %dx, %al
        put     eax
        movl    $0x3fc, %edx                    # loopback
        movb    $0x1e, %al
        outb    %al, %dx
        inb     %dx, %al
        put     eax
        movl    $0x3fe, %edx
        inb     %dx, %al
        put     eax
        movl    $0x1238, %edx
        inw     %dx, %ax
        put     eax
        inl     %dx, %eax
        put     eax
        exit    5
1:      cli
        hlt
        jmp     1b
"""

ARITHMETIC = """
        .macro  keep
        pushfl
        popl    %ebp
        andl    $0x8d5, %ebp                    # the arithmetic flags
        put     ebp
        put     eax
        put     edx
        .endm
        movl    $0x7fffffff, %eax
        xorl    %edx, %edx
        addl    $1, %eax
        keep
        sbbl    $0, %eax
        keep
        movl    $0x80000001, %eax
        rcll    $1, %eax
        keep
        sarl    $5, %eax
        movl    $-7, %eax
        cltd
        movl    $2, %ecx
        idivl   %ecx
        xorl    %ecx, %ecx
        keep
        movl    $0x12345678, %eax
        bswap   %eax
        testl   %eax, %eax
        keep
        movl    $0x99, %eax
        addb    $0x01, %al
        daa
        andl    %eax, %eax
        keep
        movl    $0x00ff00ff, %edx
        shldl   $8, %edx, %eax
        testl   %eax, %eax
        keep
        bsrl    %eax, %edx
        xorl    %ecx, %ecx
        keep
        movl    $5, %eax
        movl    $6, %edx
        movl    $7, %ecx
        movl    $9, %ebx
        cmpxchg8b memory
        testl   %eax, %eax
        keep
        movl    $0xfffffff0, %eax
        mull    %eax
        xorl    %ecx, %ecx
        keep
        fninit
        fldpi
        fmuls   factor
        fistpl  memory
        movl    memory, %eax
        xorl    %ecx, %ecx
        keep
        exit    6
1:      cli
        hlt
        jmp     1b
        .data
        .balign 8
memory: .long   5, 6
factor: .float  1000000.0
        .text
"""


@pytest.mark.parametrize(
    "source",
    [PAGING_MACROS + PAGING + CODE_PAGE, PAGING_MACROS + PAE + CODE_PAGE, PORTS, ARITHMETIC],
    ids=["paging", "PAE", "ports", "arithmetic"],
)
@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_a_guest_of_ours_ends_as_in_qemu(
    source: str, mmu: Literal["fast", "reference"], tmp_path: Path
) -> None:
    image = assemble(source)
    kernel = tmp_path / image.name
    kernel.write_bytes(image.data)
    theirs = qemu.inspect(kernel, image.physical_entry, MANAGED_END, "oracle=1")
    machine = started_like_qemu(image, theirs.at_entry, mmu)
    assert machine.run(timeout_s=10).ending is Returned.EXIT
    ours = machine.memory.read(MANAGED_START, MANAGED_END - MANAGED_START)
    assert_same(ours, theirs.at_end.ram[MANAGED_START:], MANAGED_START, image)
