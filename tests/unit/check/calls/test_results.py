"""Blocks where none can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.calls.results import KnownMemory, known_memory
from emulator.check.findings import Kind
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import PAGES, Profile
from tests.helpers.traces import TraceBuilder
from tests.unit.check.checking import findings_of, messages_of

if TYPE_CHECKING:
    from pathlib import Path

A = 0x200008


def test_a_result_off_alignment(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=0x200002)
    (finding,) = findings_of(calls, tmp_path)
    assert finding.kind is Kind.BAD_RESULT
    assert finding.message == "bad result: 0x00200002 (24 bytes) is not aligned to 4 bytes"
    assert finding.call_site is not None
    assert (finding.call_site.call, finding.call_site.event) == (1, 2)


def test_each_call_has_asked_for_its_own_alignment(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=A).call("kmemalign", 8, 24, result=A + 64)
    calls.call("kmemalign", 64, 24, result=A + 128).call("kmemalign", 4, 24, result=A + 192)
    assert messages_of(calls, tmp_path) == [
        f"bad-result: bad result: 0x{A + 128:08x} (24 bytes) is not aligned to the 64 bytes that were asked for"
    ]


@pytest.mark.parametrize(("align", "number"), [(64, 1), (8, 0), (1, 0), (0, 0), (24, 0)])
def test_a_result_off_the_alignment_that_was_asked_for(align: int, number: int, tmp_path: Path) -> None:
    messages = messages_of(TraceBuilder().call("kmemalign", align, 24, result=A), tmp_path)
    text = "bad-result: bad result: 0x00200008 (24 bytes) is not aligned to the 64 bytes that were asked for"
    assert messages == [text] * number


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (0x500000, "lies outside RAM"),
        (0x4FFFF0, "lies outside RAM"),
        (0xA0000, "lies outside RAM"),
        (0x102FF8, "lies in the kernel's own code at 0x00100000-0x00103000"),
        (0x0FFFF8, "lies in the kernel's own code at 0x00100000-0x00103000"),
    ],
)
def test_a_result_where_no_block_can_be(address: int, problem: str, tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=address)
    assert messages_of(calls, tmp_path) == [f"bad-result: bad result: 0x{address:08x} (24 bytes) {problem}"]


@pytest.mark.parametrize("address", [0x4FFFE8, 0x103000, 0x9FFE8, 0x8])
def test_a_result_at_the_edge_of_where_blocks_can_be(address: int, tmp_path: Path) -> None:
    assert findings_of(TraceBuilder().call("kmalloc", 24, result=address), tmp_path) == []


def test_a_result_whose_last_byte_is_outside(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 25, result=0x4FFFE8)
    assert messages_of(calls, tmp_path) == ["bad-result: bad result: 0x004fffe8 (25 bytes) lies outside RAM"]


def test_with_paging_any_address_can_be_memory(tmp_path: Path) -> None:
    calls = TraceBuilder().call("kmalloc", 24, result=0xC0000000)
    assert findings_of(calls, tmp_path, KnownMemory(None, ())) == []


def test_a_kernel_with_page_tables_may_hand_out_addresses_before_paging_is_on() -> None:
    machine = boot("firmware:paging_demo")
    assert known_memory(machine).usable == ((0, 0xA0000), machine.ram)
    assert known_memory(machine, has_mappings=True).usable is None


@pytest.mark.parametrize(("answered", "number"), [(0x20_0000, 0), (0x20_0800, 1), (0x20_0004, 1)])
def test_pages_begin_at_pages(answered: int, number: int, tmp_path: Path) -> None:
    function = TracedFunction("get_page", "pages", Role.ALLOC, (), Result.POINTER, 0)
    calls = TraceBuilder(Profile("pages", (function,), {"pages": PAGES})).call("get_page", result=answered)
    text = f"bad-result: bad result: 0x00200000 (4096 bytes) was answered as 0x{answered:08x}, which is not aligned to 4096 bytes"
    assert messages_of(calls, tmp_path) == [text] * number
