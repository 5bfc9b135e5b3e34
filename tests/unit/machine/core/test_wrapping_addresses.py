"""Addresses and sums of addresses are cut to 32 bits, whether a constant is known to the translator or not."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.helpers.guest import machine_of, results_of

VALUE = 0x11223344

GUEST = """
        .data
below:  .long   0xfffffff0
high:   .long   0x80000000
word:   .long   0x11223344
        .bss
        .balign 4096
directory: .skip 4096
        .text
        movl    $0x83, directory                # the same memory twice, 2 GiB apart
        movl    $0x83, directory + 0x800
        paging  directory
        movl    $0x7ffffff0, %edx
        movl    word + 0x10(%edx), %ebx
        put     ebx
        movl    below, %eax
        movl    high, %ecx
        movl    word + 0x10(%eax), %ebx
        put     ebx
        leal    word(%ecx), %edx                # 2 ** 31 twice
        movl    (%edx,%ecx), %ebx
        put     ebx
        leal    word + 0x40, %edx
        movl    (%edx,%eax,4), %ebx
        put     ebx
        movl    $0xfffffff0, %edx
        movl    word + 0x10(%edx), %ebx
        put     ebx
        leal    0x20(%eax), %ebx
        put     ebx
        leal    0x20(%eax), %ebx
        cmpl    $0x10, %ebx
        sete    %bl
        movzbl  %bl, %ebx
        put     ebx
        leal    -0x20(%ecx,%ecx), %ebx
        shrl    $28, %ebx
        put     ebx
        leal    0x20(%eax), %ebx
        mull    %ebx                            # 0xfffffff0 * 0x10
        put     edx
        movl    below, %eax
        movl    $5, word + 0x10 - 0x80000000(%eax,%ecx)
        movl    word, %ebx
        put     ebx
        exit    0
"""


@pytest.mark.parametrize("mmu", ["fast", "reference"])
def test_sums_of_addresses(mmu: Literal["fast", "reference"]) -> None:
    machine = machine_of(GUEST, mmu=mmu)
    assert machine.run(timeout_s=10).exit_code == 1
    assert results_of(machine, 10) == [VALUE] * 5 + [0x10, 1, 0xF, 0xF, 5]
