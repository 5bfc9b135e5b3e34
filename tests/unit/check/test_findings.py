"""What a check finds, and the ids by which baselines know it."""

import re
from pathlib import Path

import pytest

from emulator.check.findings import BlockHistory, CallSite, FaultingWrite, Finding, Kind, with_rest
from emulator.guest.symbolizer import Frame

KMAIN = Frame(0x101042, "kmain", 0x42, "demo.c", 31)
SERVE = Frame(0x101142, "serve", 0x12, "demo.c", 62)
START = Frame(0x100020, "start", 0x20)
BLOCK = BlockHistory(
    0x200008, 24, CallSite(1, 2, "kmalloc", (KMAIN, START)), CallSite(2, 3, "kfree", (SERVE, START))
)
FINDING = Finding(
    Kind.DOUBLE_FREE, "heap", "double free of 0x00200008", CallSite(3, 5, "kfree", (KMAIN, START)), BLOCK
)


def changed(**fields: object) -> Finding:
    values = {name: getattr(FINDING, name) for name in Finding.__slots__}
    return Finding(**values | fields)


def test_an_id_is_twelve_hexadecimal_digits_that_never_change() -> None:
    assert FINDING.id == "e90630be51e6"
    assert re.fullmatch("[0-9a-f]{12}", FINDING.id)


def moved(frame: Frame) -> Frame:
    return frame._replace(address=frame.address + 0x40, offset=1, line=7, file="other.c")


def test_an_id_stays_when_code_and_blocks_move() -> None:
    call_site = CallSite(30, 50, "kfree", (moved(KMAIN), moved(START)))
    made = CallSite(10, 20, "kmalloc", (moved(KMAIN), START))
    freed = CallSite(20, 30, "kfree", (SERVE, moved(START)))
    other = changed(
        message="double free of 0x00300008",
        call_site=call_site,
        block=BlockHistory(0x300008, 32, made, freed),
    )
    assert other.id == FINDING.id


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.INVALID_FREE},
        {"area": "frames"},
        {"call_site": None},
        {"call_site": CallSite(3, 5, "kfree", (SERVE, START))},
        {"call_site": CallSite(3, 5, "kfree", (KMAIN,))},
        {"call_site": CallSite(3, 5, "krealloc", (KMAIN, START))},
        {"block": None},
        {"block": BlockHistory(0x200008, 24, BLOCK.allocated, None)},
        {"block": BlockHistory(0x200008, 24, CallSite(1, 2, "kmalloc", (SERVE, START)), BLOCK.freed)},
        {"faulting_write": FaultingWrite(0x101050, "mov", 4, 0, 1, 0x200000, (SERVE,))},
    ],
)
def test_an_id_distinguishes_findings(fields: dict[str, object]) -> None:
    assert changed(**fields).id != FINDING.id


def test_the_parts_of_an_id_do_not_run_into_each_other() -> None:
    nameless = Frame(0x101042)
    one = changed(call_site=CallSite(3, 5, "kfree", (KMAIN,)), block=None)
    two = changed(call_site=None, block=BlockHistory(0, 0, CallSite(3, 5, "kfree", (KMAIN,)), None))
    assert one.id != two.id
    assert (
        changed(call_site=CallSite(3, 5, "kfree", (nameless,))).id
        != changed(call_site=CallSite(3, 5, "kfree", ())).id
    )


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_explains_itself(kind: Kind) -> None:
    assert kind.title == kind.title.strip()
    assert kind.title[0].islower()
    assert re.fullmatch(r"[A-Z][^.]*\.", kind.explanation)


def test_titles_differ() -> None:
    assert len({kind.title for kind in Kind}) == len(Kind)


def test_what_is_left_out_is_said_once() -> None:
    assert with_rest([FINDING, FINDING], 2) == [FINDING, FINDING]
    assert with_rest([], 0) == []
    first, second = with_rest([changed(details=("it is so",)), FINDING], 19)
    assert first.details == ("it is so", "the first 2 of 19 like this are listed")
    assert second == FINDING


def test_each_kind_is_documented() -> None:
    """In the table of docs/check.md; and nothing else is."""
    table = (
        (Path(__file__).parents[3] / "docs" / "check.md")
        .read_text()
        .partition("| kind | means |")[2]
        .partition("\n\n")[0]
    )
    cells = [row.split("|")[1] for row in table.splitlines()[2:]]
    kinds = [kind for cell in cells for kind in re.findall(r"`([a-z-]+)`", cell)]
    assert sorted(kinds) == sorted(kind.value for kind in Kind)
