"""What the CPU says of itself: a Pentium III with nothing that the machine lacks (Intel SDM vol. 2A, CPUID; vol. 4, 2.22)."""

from __future__ import annotations

import pytest

from tests.helpers.guest import machine_of, results_of

LEAF = "movl ${leaf}, %eax\n cpuid\n put eax\n put ebx\n put ecx\n put edx\n hlt"
FPU, DE, PSE, TSC, MSR, CX8, SEP, PGE, CMOV, MMX, FXSR, SSE = (
    1 << bit for bit in (0, 2, 3, 4, 5, 8, 11, 13, 15, 23, 24, 25)
)
APIC = 1 << 9
FEATURES = FPU | DE | PSE | TSC | MSR | CX8 | SEP | PGE | CMOV | MMX | FXSR | SSE
RDMSR = "movl ${number}, %ecx\n rdmsr\n put eax\n put edx\n"


@pytest.fixture(params=["fast", "reference"])
def mmu(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def leaf(number: int, mmu: str = "fast", *, local_apic: bool = True) -> list[int]:
    machine = machine_of(LEAF.format(leaf=number), mmu=mmu)
    machine.cpu.set_local_apic(local_apic)
    machine.run()
    return results_of(machine, 4)


def test_cpuid(mmu: str) -> None:
    highest, *name = leaf(0, mmu)
    assert highest == 2
    assert b"".join(word.to_bytes(4, "little") for word in (name[0], name[2], name[1])) == b"GenuineIntel"
    assert leaf(1, mmu) == [0x673, 0, 0, FEATURES | APIC]
    assert leaf(2, mmu) == [0x03020101, 0, 0, 0x0C040843]


@pytest.mark.parametrize("number", [0x40000000, 0x80000000, 0x80000001, 0x80000008])
def test_there_are_no_other_leaves(number: int) -> None:
    assert leaf(number) == [0, 0, 0, 0]


def test_a_leaf_that_is_too_large_is_answered_as_the_last() -> None:
    assert leaf(7) == leaf(2)


def test_a_local_apic_is_promised_where_there_is_one() -> None:
    assert leaf(1, local_apic=False)[3] == FEATURES
    machine = machine_of(RDMSR.format(number=0x1B) + "hlt")
    machine.run()
    assert results_of(machine, 2) == [0xFEE00900, 0]
    machine = machine_of(RDMSR.format(number=0x1B) + "hlt")
    machine.cpu.set_local_apic(False)
    machine.run()
    assert results_of(machine, 2) == [0, 0]


def test_the_time_stamp_counter_is_a_register_too(mmu: str) -> None:
    body = (
        RDMSR.format(number=0x10) + "movl $5, %edx\n movl $0, %eax\n wrmsr\n rdtsc\n put eax\n put edx\n hlt"
    )
    results = []
    for budget in (None, 100):
        machine = machine_of(body, mmu=mmu)
        snapshot = machine.snapshot()
        for _ in range(2):
            machine.run(max_instructions=budget)
            results.append(results_of(machine, 4))
            snapshot.reset()
    assert results == [[20, 0, 10, 5]] * 4
