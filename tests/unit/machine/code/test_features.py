"""What an instruction needs that kmemu does not have is named."""

from __future__ import annotations

import pytest

from emulator.errors import GuestException, NotEmulated
from tests.helpers.guest import ENABLE_SSE, machine_of
from tests.unit.machine.board.test_interrupts import guest


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("vmxon results", "virtualization: vmxon"),
        ("vmcall", "virtualization: vmcall"),
        ("vmrun", "virtualization: vmrun"),
        ("xorl %ecx, %ecx\n xgetbv", "XSAVE: xgetbv"),
        ("monitor", "MONITOR/MWAIT: monitor"),
        (f"{ENABLE_SSE} pextrd $1, %xmm0, %ecx", "SSE4.1: pextrd"),
        (f"{ENABLE_SSE} phminposuw %xmm0, %xmm1", "SSE4.1: phminposuw"),
        (f"{ENABLE_SSE} pabsb %xmm0, %xmm1", "SSSE3: pabsb"),
        (f"{ENABLE_SSE} palignr $1, (%esp), %xmm1", "SSSE3: palignr"),
        ("popcnt %eax, %ecx", "POPCNT: popcnt"),
        ("movbe results, %eax", "MOVBE: movbe"),
        ("rdtscp", "RDTSCP: rdtscp"),
        ("xsave results", "XSAVE: xsave"),
        ("clflush results", "CLFLUSH: clflush"),
        ("vaddps %ymm0, %ymm1, %ymm2", "AVX: vaddps"),
        ("vfmadd132ps %xmm0, %xmm1, %xmm2", "FMA: vfmadd132ps"),
    ],
)
def test_an_instruction_that_kmemu_does_not_have(code: str, needed: str) -> None:
    with pytest.raises(
        NotEmulated, match=rf"^kmemu does not have {needed} at _start\+0x[0-9a-f]+ .*, EIP 0x[0-9a-f]+$"
    ):
        machine_of(code).run(max_instructions=10_000)


def test_64_bit_mode_is_named_where_it_begins() -> None:
    source = """
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    %cr4, %eax
        orl     $0x20, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        nop
    """
    with pytest.raises(
        NotEmulated,
        match=r"^kmemu does not have 64-bit mode \(EFER\.LME\), in which paging was switched on at ",
    ):
        machine_of(source).run(max_instructions=10_000)


@pytest.mark.parametrize(
    "code",
    [
        "ud2",
        ".byte 0xff, 0xff",
        "movl $0x00c1010f, results\n movl $results, %eax\n jmp *%eax",  # vmcall, but not of the kernel's code
    ],
)
def test_what_no_cpu_executes_is_the_kernels_own(code: str) -> None:
    with pytest.raises(
        GuestException, match=r"^triple fault: #UD invalid opcode \(no handler in the IDT\) at "
    ):
        machine_of(code).run(max_instructions=10_000)


@pytest.mark.parametrize(
    ("code", "instruction"),
    [
        ("popcnt %eax, %ecx", "POPCNT: popcnt"),
        ("movbe results, %eax", "MOVBE: movbe"),
        ("ud2", ""),
        ("int $6", ""),
    ],
)
def test_what_a_kernel_lacks_that_handles_the_exception(code: str, instruction: str) -> None:
    machine = guest(f"gate 6, on_6\n {code}\n exit 0", "on_6: hlt")
    machine.run(max_instructions=10_000)
    lacks = [lack.instruction for lack in machine.unanswered.lacks()]
    assert lacks == ([instruction] if instruction else [])
