"""Corrupted structures: the faulting write, its line, and the block that it was meant for."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.findings import Kind
from emulator.check.structures.corruption import corruption_finding
from emulator.check.structures.run_audits import FailedAudit
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.replay.engine import Rerun
from kernel_model.audit import Defect, Invariant, Location, LocationKind
from kernel_model.text import defect_text
from tests.helpers.checked import checked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from emulator.guest.symbolizer import Frame
    from emulator.machine.machine import Machine


def lines(stack: Sequence[Frame]) -> list[str]:
    return [f"{frame.function} {PurePosixPath(frame.file).name}:{frame.line}" for frame in stack]


def broken_size(value: int) -> Defect:
    location = Location(LocationKind.BLOCK, "heap", 0x10B000, 0x10B004, item=0x10B000, field="size")
    return Defect(Invariant("size", "not a multiple of 8"), "heap", location, value)


@pytest.mark.parametrize("every", [0, 1, 7])
def test_an_overflow_is_found_where_it_happens(every: int, tmp_path: Path) -> None:
    finding = checked("overflow", tmp_path, every=every).finding()
    assert (finding.kind, finding.area) == (Kind.CORRUPTION, "heap")
    assert finding.message == "heap metadata corrupted: header at 0x0010b020: size 0x41414141"
    assert finding.details == ("0x0010b020 size = 0x41414141: not a multiple of 8",)
    faulting_write = finding.faulting_write
    assert faulting_write is not None
    assert lines(faulting_write.backtrace)[:2] == ["memset string.c:22", "kmain overflow.c:28"]
    memset, kmain = (boot("firmware:overflow").address_of(name) for name in ("memset", "kmain"))
    assert [(each.address - each.offset) for each in faulting_write.backtrace[:2]] == [memset, kmain]
    assert (faulting_write.text, faulting_write.address) == ("rep stosd dword ptr es:[edi], eax", 0x10B020)
    assert (faulting_write.before, faulting_write.after, faulting_write.backtrace[0].address) == (
        40,
        0x41414141,
        faulting_write.eip,
    )
    assert finding.call_site is not None
    assert (finding.call_site.function, finding.call_site.event) == ("kmalloc", faulting_write.event)
    assert finding.block is not None
    assert (finding.block.address, finding.block.size, finding.block.freed) == (0x10B008, 24, None)
    assert finding.hex_dump[2] == ">0x0010b020: 41 41 41 41 41 41 41 41 00 00 00 00 00 00 00 00"


@pytest.mark.parametrize("kernel", ["vm_bad_shared", "vm_bad_writable"])
def test_page_tables_are_broken_after_the_call_that_is_named(kernel: str, tmp_path: Path) -> None:
    """BTRON/386 makes these calls with interrupts off, and page tables are not looked at meanwhile."""
    finding = checked(kernel, tmp_path).finding()
    assert finding.call_site is not None
    assert finding.faulting_write is not None
    assert finding.call_site.event == finding.faulting_write.event


def test_a_use_after_free_is_found_where_it_happens(tmp_path: Path) -> None:
    finding = checked("use_after_free", tmp_path).finding()
    assert finding.message == "heap metadata corrupted: header at 0x0010b048: next 0x206f6f74"
    assert finding.faulting_write is not None
    assert lines(finding.faulting_write.backtrace)[:2] == ["memcpy string.c:33", "kmain use_after_free.c:29"]
    assert finding.block is not None
    assert (finding.block.address, finding.block.freed is None) == (0x10B050, False)


def test_without_a_trace_there_is_no_call_site(tmp_path: Path) -> None:
    run = checked("overflow", tmp_path)
    failed = FailedAudit(0, run.trace.event_count, run.checks.audit())
    finding = corruption_finding(run.rerun, failed, None)
    assert (finding.call_site, finding.block) == (None, None)
    assert finding.faulting_write is not None


@pytest.mark.parametrize(("count", "rest"), [(1, ()), (5, ()), (7, ("and 2 more broken rules",))])
def test_what_does_not_break_again_is_reported_without_a_faulting_write(
    count: int, rest: tuple[str, ...], tmp_path: Path
) -> None:
    run = checked("leak", tmp_path)
    defects = [broken_size(8 * index + 5) for index in range(count)]
    finding = corruption_finding(run.rerun, FailedAudit(0, 20, defects), run.trace)
    assert finding.message == "heap metadata corrupted: header at 0x0010b000: size 0x00000005"
    assert finding.faulting_write is None
    assert finding.call_site is not None
    assert finding.call_site.event == 20
    assert finding.details == (
        *map(defect_text, defects[:5]),
        *rest,
        "it did not break when the kernel was run once more",
    )


def test_a_kernel_of_which_nothing_is_known_cannot_be_searched() -> None:
    functions = matching_profile(boot("firmware:demo").image).functions
    rerun = Rerun(lambda: boot("firmware:demo"), Profile("mine", functions))
    with pytest.raises(ValueError, match=r"demo\.elf: no structures are known$"):
        corruption_finding(rerun, FailedAudit(0, 1, [broken_size(5)]), None)


def test_a_late_write_names_the_line_of_the_late_writer(tmp_path: Path) -> None:
    run = checked("bad_late_write", tmp_path)
    finding = run.finding()
    assert finding.faulting_write is not None
    assert lines(finding.faulting_write.backtrace)[0] == "tick bad_late_write.c:24"
    assert finding.faulting_write.text == "inc dword ptr [eax]"


STUB = 0x8000
LOW = 0x7FFF_FFFF
"""Turns what BTRON/386 calls an address into a physical one."""
USED = 0x10B004
"""Of the first block."""


def put_stub(machine: Machine, code: bytes, *, callee: str = "memset", caller: str = "kmain") -> None:
    """Let a function call other code where it first calls *callee*."""
    function, called = machine.image.symbol(caller), machine.address_of(callee)
    assert function is not None
    body = machine.memory.read(function.address & LOW, function.size)
    site = next(
        function.address + offset
        for offset in range(len(body) - 4)
        if body[offset] == 0xE8
        and int.from_bytes(body[offset + 1 : offset + 5], "little", signed=True)
        == called - (function.address + offset + 5)
    )
    stub = STUB | site & ~LOW
    machine.memory.write((site & LOW) + 1, (stub - site - 5).to_bytes(4, "little", signed=True))
    machine.memory.write(STUB, code)


def store(address: int, value: int) -> bytes:
    return (
        b"\xc7\x05" + address.to_bytes(4, "little") + value.to_bytes(4, "little")
    )  # mov dword [address], value


def go_to(opcode: bytes, offset: int, target: int) -> bytes:
    """Return a call, jmp or conditional jump at a position in the stub."""
    return opcode + (target - (STUB + offset + len(opcode) + 4)).to_bytes(4, "little", signed=True)


def test_a_defect_of_an_unchanged_word_is_traced_to_the_word_that_changed(tmp_path: Path) -> None:
    code = (
        bytes.fromhex("8325") + USED.to_bytes(4, "little") + bytes.fromhex("00c3")
    )  # and dword [USED], 0; ret
    finding = checked("overflow", tmp_path, prepare=lambda machine: put_stub(machine, code)).finding()
    assert finding.message.startswith("heap metadata corrupted: heap_free_list 0x")
    assert finding.faulting_write is not None
    faulting_write = finding.faulting_write
    assert (faulting_write.eip, faulting_write.address, faulting_write.before, faulting_write.after) == (
        STUB,
        USED,
        1,
        0,
    )
    assert finding.details[-1] == "what was changed is heap block 0x0010b000 .used"
    assert finding.block is not None
    assert finding.block.address == 0x10B008


def test_a_call_that_rightly_changed_the_word_of_the_defect_is_not_at_fault(tmp_path: Path) -> None:
    """The third kmalloc moves heap_free_list, and on the way somebody frees a block before it without the heap's knowledge."""
    used, size = 0x10B024, 0x10B020

    def prepare(machine: Machine) -> None:
        take = machine.address_of("take")
        third = b"\x83\x3d" + size.to_bytes(4, "little") + b"\x28"  # cmp dword [size], 40
        code = third + go_to(b"\x0f\x85", 7, take) + store(used, 0)
        put_stub(machine, code + go_to(b"\xe9", len(code), take), callee="take", caller="kmalloc")

    finding = checked("overflow", tmp_path, every=1, prepare=prepare).finding()
    assert finding.message.startswith("heap metadata corrupted: heap_free_list 0x")
    assert finding.faulting_write is not None
    assert (finding.faulting_write.eip, finding.faulting_write.address) == (STUB + 13, used)
    assert finding.details[-1] == "what was changed is heap block 0x0010b020 .used"


def test_of_several_writes_the_first_that_changed_the_word_is_the_faulting_write(tmp_path: Path) -> None:
    code = b"".join(store(0x10B020, value) for value in (40, 5, 6)) + b"\xc3"
    finding = checked("overflow", tmp_path, prepare=lambda machine: put_stub(machine, code)).finding()
    assert finding.faulting_write is not None
    assert finding.faulting_write.eip == STUB + 10
    assert (finding.faulting_write.before, finding.faulting_write.after) == (40, 6)


def test_of_several_writes_of_an_allocator_the_last_is_the_faulting_write(tmp_path: Path) -> None:
    """It may bring its own data out of order until it has finished."""
    size = 0x10B000

    def prepare(machine: Machine) -> None:
        compare = (
            b"\x83\x3d" + size.to_bytes(4, "little") + b"\x18"
        )  # cmp dword [size], 24: the second kmalloc
        take = machine.address_of("take")
        code = compare + go_to(b"\x0f\x85", 7, take) + store(size, 5) + store(size, 6)
        put_stub(machine, code + go_to(b"\xe9", len(code), take), callee="take", caller="kmalloc")

    finding = checked("overflow", tmp_path, every=1, prepare=prepare).finding()
    assert finding.faulting_write is not None
    assert finding.faulting_write.eip == STUB + 23
    assert (finding.faulting_write.before, finding.faulting_write.after) == (24, 6)
    assert finding.call_site is not None
    assert (finding.call_site.function, finding.call_site.call) == ("kmalloc", 6)


def test_what_was_right_again_before_it_broke_is_not_the_faulting_write(tmp_path: Path) -> None:
    """A search over the whole run would come upon the first damage: event 16 of 33. It was healed before event 22."""

    def prepare(machine: Machine) -> None:
        code = store(0x10B020, 5)
        for call in range(5):
            code += go_to(b"\xe8", len(code), machine.address_of("alloc_frame"))
            code += store(0x10B020, 40) if call == 0 else b""
        put_stub(machine, code + store(0x10B020, 6) + b"\xc3")

    run = checked("overflow", tmp_path, every=11, prepare=prepare)
    faulting_write = run.finding().faulting_write
    assert faulting_write is not None
    assert (faulting_write.eip, faulting_write.before, faulting_write.after) == (STUB + 45, 40, 6)
    assert run.audits_at_rest == 4


def test_what_tasks_do_meanwhile_is_not_the_faulting_write(tmp_path: Path) -> None:
    """The broken rule is about the owners of a page, which are as they were; what was changed is its flag.

    Until the next audit tasks changed their words, and an innocent call of pmem_free() another page's flag.
    """
    kernel = "btron_bad_refcount_ok"
    done = boot(f"firmware:{kernel}")
    done.run()
    table = done.memory.load_u32(done.address_of("pmem_table") & LOW)
    used = (page for page in range(0x500) if done.memory.load_words((table & LOW) + 8 * page, 2) == (1, 1))
    page = next(used) + 1  # kmem owns more than one
    flag = table + 8 * page
    names = ("tcb_table", "ready_head", "ready_tail", "current_task", "need_dispatch", "sys_tick")
    others = [done.address_of(name) + (16 if "_t" in name or "_h" in name else 0) for name in names]
    assert all(address < flag for address in others)
    code = b"".join(store(address, 1) for address in others) + store(flag, 0)
    code += go_to(b"\xe9", len(code) | 1 << 31, done.address_of("row"))
    finding = checked(
        kernel, tmp_path, every=1, prepare=lambda machine: put_stub(machine, code, callee="row")
    ).finding()
    assert finding.details[-1] == f"what was changed is pmem_table[0x{page:08x}].flag"
    assert finding.faulting_write is not None
    assert finding.faulting_write.eip == STUB + 10 * len(others) | 0x8000_0000
