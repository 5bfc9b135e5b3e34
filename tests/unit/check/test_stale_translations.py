"""Findings about stale translations: their words, how many there are, and when they are not looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.check.stale_translations import MOST_FINDINGS, stale_uses
from emulator.machine.core.observed import LastWrite, Rights, StaleUse
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.run.ending import Budget, How
from emulator.run.recorded import record_run
from emulator.trace.file.recorder import trace_header
from emulator.trace.trace import Trace
from tests.helpers.guest import FUNCTION
from tests.helpers.page_tables import paged_machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from emulator.machine.machine import Machine

WRITE = LastWrite(0x0010_1000, 0x0010_1000, 3, 0x0030_0067, 0x0030_1007, (), 1)
ALL = Rights.PRESENT | Rights.WRITABLE | Rights.FOR_USERS
USE = StaleUse(
    *(0xC000_0010, "write", 0x0010_1010, 0x0010_1010, 6, ()),
    *(0x0030_0000, ALL, 0x0030_1000, Rights.PRESENT, 0x0020_0000, WRITE),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Trace]:
    path: Path = tmp_path_factory.mktemp("stale") / "run.kmt"
    machine = boot("firmware:demo")
    header = trace_header(
        machine, matching_profile(machine.image), kernel="demo", version="", command_line=(), layers={}
    )
    record_run(machine, path, header, Budget())
    return machine, Trace.read(str(path))


def test_a_finding_names_both_translations_the_use_and_the_change(ended: tuple[Machine, Trace]) -> None:
    machine, trace = ended
    (finding,) = stale_uses(machine, [USE], trace)
    assert finding.kind is Kind.STALE_TRANSLATION
    assert finding.message == "write to 0xc0000010 by a translation that is no longer in the page tables"
    assert finding.details == (
        "the CPU still holds: frame 0x00300000, to read and write, for all rings",
        "the page tables say now: frame 0x00301000, to read only, for the kernel",
        "entry at 0x00200000, changed without invlpg or a load of CR3",
    )
    assert finding.call_site is not None
    assert (finding.call_site.event, finding.call_site.backtrace[0].address) == (6, 0x0010_1010)
    write = finding.faulting_write
    assert write is not None
    assert (write.event, write.address, write.before, write.after) == (
        3,
        0x0020_0000,
        0x0030_0067,
        0x0030_1007,
    )


@pytest.mark.parametrize(
    ("use", "begin"),
    [
        (USE._replace(access="read"), "read of 0x"),
        (USE._replace(access="write"), "write to 0x"),
        (USE._replace(access="fetch"), "execution of 0x"),
    ],
)
def test_each_access_has_its_verb(ended: tuple[Machine, Trace], use: StaleUse, begin: str) -> None:
    assert stale_uses(ended[0], [use], ended[1])[0].message.startswith(begin)


def test_a_page_that_is_gone_and_nobody_who_did_it(ended: tuple[Machine, Trace]) -> None:
    use = USE._replace(now=0, now_rights=Rights(0), change=None)
    (finding,) = stale_uses(ended[0], [use], ended[1])
    assert finding.details[1:] == (
        "the page tables say now: not mapped",
        "entry at 0x00200000, changed without invlpg or a load of CR3, by no instruction of the kernel's",
    )
    assert finding.faulting_write is None


def test_uses_of_one_way_are_one_finding(ended: tuple[Machine, Trace]) -> None:
    later = USE._replace(event=9, linear=0xC000_1000)
    (finding,) = stale_uses(ended[0], [USE, later], ended[1])
    assert finding.call_site is not None
    assert finding.call_site.event == 6


def test_a_use_in_code_without_symbols_is_in_no_function(ended: tuple[Machine, Trace]) -> None:
    (finding,) = stale_uses(ended[0], [USE._replace(eip=0xB7)], ended[1])
    assert finding.call_site is not None
    assert finding.call_site.function == ""
    assert finding.call_site.backtrace[0].address == 0xB7


def test_only_some_are_listed(ended: tuple[Machine, Trace]) -> None:
    uses = [USE._replace(eip=USE.eip + i) for i in range(MOST_FINDINGS + 1)]
    found = stale_uses(ended[0], uses, ended[1])
    assert len(found) == MOST_FINDINGS
    assert found[0].details[-1] == "the first 16 of 17 like this are listed"


def test_the_reference_mmu_is_checked_without() -> None:
    machine = boot("firmware:bad_stale_tlb", mmu="reference")
    report = check_kernel(machine, matching_profile(machine.image))
    assert report.findings == ()
    assert Kind.STALE_TRANSLATION not in report.checked


def test_the_other_is_checked_with() -> None:
    machine = boot("firmware:bad_stale_tlb")
    report = check_kernel(machine, matching_profile(machine.image))
    assert [finding.kind for finding in report.findings] == [Kind.STALE_TRANSLATION]
    assert Kind.STALE_TRANSLATION in report.checked


TAKE = Profile("test", (TracedFunction("take", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),))
DATA = 0x0030_0000
# Of a page whose entry is changed without a word, after CR3 was loaded all the time.
SWITCHES = (
    FUNCTION
    + """
        pushl   $8
        call    take
        movl    $5000, %ecx
1:      movl    %cr3, %eax
        movl    %eax, %cr3
        movl    {data:#x}, %ebx
        loop    1b
        movl    ${new:#x}, {entry:#x}
        {after}
        movl    {data:#x}, %ebx
        movl    $1000000, %ecx
2:      loop    2b
        exit    0
        function take
        movl    $0x310000, %eax
        ret
        ends    take
"""
)


def switching(after: str) -> Callable[[], Machine]:
    """Return what makes a machine with such a guest."""

    def new(entry: int) -> tuple[Machine, int]:
        source = SWITCHES.format(data=DATA, new=DATA + 0x1003, entry=entry, after=after)
        machine, tables = paged_machine(source)
        return machine, tables.table_entry(DATA)

    _, entry = new(0x0020_0000)
    return lambda: new(entry)[0]


@pytest.mark.parametrize("sanitize", [False, True])
def test_a_kernel_that_loads_cr3_all_the_time_runs_once_more_if_something_may_be_missing(
    *, sanitize: bool
) -> None:
    new = switching("nop")
    report = check_kernel(new(), TAKE, new_machine=new, sanitize=sanitize)
    (finding,) = [each for each in report.findings if each.kind is Kind.STALE_TRANSLATION]
    assert finding.call_site is not None
    assert finding.call_site.event == report.events == 2
    assert finding.message.startswith("read of 0x00300000 by a translation")
    assert Kind.STALE_TRANSLATION in report.checked


def interrupted(machine: Machine) -> Machine:
    """Return a machine that somebody interrupts after the use."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    machine.pause_after(500_000, interrupt)
    return machine


def test_who_has_interrupted_the_first_run_waits_for_no_other() -> None:
    new = switching("nop")
    report = check_kernel(interrupted(new()), TAKE, new_machine=lambda: pytest.fail("it runs once more"))
    assert report.ending.how is How.INTERRUPTED
    assert Kind.STALE_TRANSLATION not in report.checked


def test_the_second_run_can_be_interrupted_too() -> None:
    new = switching("nop")
    with pytest.raises(KeyboardInterrupt):
        check_kernel(new(), TAKE, new_machine=lambda: interrupted(new()))


def test_progress_is_told_of_the_second_run_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.check.checked_run._FIRST_PAUSE", 1 << 10)
    new, once, twice = switching("nop"), list[int](), list[int]()
    check_kernel(new(), TAKE, on_progress=once.append)
    check_kernel(new(), TAKE, new_machine=new, on_progress=twice.append)
    assert twice == 2 * once
    assert once


def test_it_runs_no_more_than_once_where_nothing_is_missing_or_it_may_not() -> None:
    runs = 0
    flushed, new = switching(f"invlpg {DATA:#x}"), switching("nop")

    def counted() -> Machine:
        nonlocal runs
        runs += 1
        return flushed()

    report = check_kernel(flushed(), TAKE, new_machine=counted)
    assert Kind.STALE_TRANSLATION in report.checked
    assert not runs
    report = check_kernel(new(), TAKE)
    assert Kind.STALE_TRANSLATION not in report.checked
    assert Kind.STALE_TRANSLATION not in {each.kind for each in report.findings}
