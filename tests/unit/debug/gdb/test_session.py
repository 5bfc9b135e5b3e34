"""What a session answers, to good packets, and to bad ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.debug import Debugger
from emulator.debug import debugger as debugging
from emulator.debug.gdb.packets import encoded
from emulator.debug.gdb.registers import NUMBERS, REGISTERS
from emulator.debug.gdb.session import Left
from emulator.errors import HostError
from tests.helpers.gdb import ask, is_output, talk
from tests.helpers.guest import machine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = """
        movl    $3, %ecx
again:  incl    count
        loop    again
        .globl  write, read, rest
write:  movl    $5, other
read:   movl    other, %edx
rest:   movb    $'!', %al
        outb    %al, $0xe9
        exit    0
        .data
        .globl  count
count:  .long   0
        .globl  other
other:  .long   0
"""


@pytest.fixture
def debugger() -> Iterator[Debugger]:
    with Debugger(machine_of(SOURCE)) as debugger:
        yield debugger


def number(debugger: Debugger, name: str) -> int:
    found = debugger.image.symbol(name)
    assert found is not None
    return found.address


def state(debugger: Debugger) -> tuple[object, ...]:
    machine = debugger.machine
    return (
        debugger.moment,
        machine.registers(),
        bytes(machine.memory.buffer[0x10_0000:0x11_0000]),
        debugger.points,
        debugger.stop_at_findings,
        debugger.stop_at_exceptions,
    )


def field(reply: bytes, name: str) -> int:
    """Return the value of a register in a stop reply."""
    for each in reply[3:].split(b";"):
        key, _, value = each.partition(b":")
        if key == b"%02x" % NUMBERS[name]:
            return int.from_bytes(bytes.fromhex(value.decode()), "little")
    raise AssertionError(f"{reply!r} says nothing of {name}")


def test_a_client_learns_what_the_server_can(debugger: Debugger) -> None:
    (features,) = ask(debugger, b"qSupported:multiprocess+;swbreak+")
    assert {b"ReverseStep+", b"ReverseContinue+", b"swbreak+", b"PacketSize=10000"} <= {*features.split(b";")}


def test_what_nobody_knows_is_answered_by_nothing(debugger: Debugger) -> None:
    assert ask(debugger, b"vMustReplyEmpty", b"qNothing:1", b"!", b"Z9,0,1", b"y", b"") == [b""] * 6


def test_what_the_machine_cannot_do_is_answered_by_an_error(
    debugger: Debugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_cr3: int | None = None) -> None:
        raise HostError("no memory left")

    monkeypatch.setattr(debugger.machine, "address_space", refuse)
    assert ask(debugger, b"qMemoryRegionInfo:0", b"qRcmd," + b"info mem".hex().encode(), b"qC") == [
        *(b"E05", b"OK", b"QC1")
    ]


@pytest.mark.parametrize(
    "command", [f"goto {'9' * 25}", f"goto @{'9' * 25}", f"break-alloc {'9' * 25}", f"who 0 {'9' * 25}"]
)
def test_a_number_that_nothing_has_ends_no_session(command: str) -> None:
    with debugging("firmware:overflow") as debugger:
        answers = talk(debugger, encoded(b"qRcmd," + command.encode().hex().encode()), encoded(b"?"))[1]
        assert "no " in bytes.fromhex(answers[0].decode()[1:]).decode()
        assert answers[1] == b"OK"
        assert answers[2].startswith(b"T05")


def test_regions_of_memory_are_as_page_tables_have_them(debugger: Debugger) -> None:
    assert ask(debugger, b"qMemoryRegionInfo:1234") == [b"start:0;size:100000000;permissions:rwx;"]
    with Debugger(boot("firmware:btron_pools_wait")) as paged:
        paged.go_to(100_000)
        addresses = (b"0", b"80123456", b"ffffffff")
        assert ask(paged, *(b"qMemoryRegionInfo:" + each for each in addresses)) == [
            b"start:0;size:80000000;",
            b"start:80000000;size:800000;permissions:rwx;",
            b"start:80800000;size:7f800000;",
        ]


def test_what_is_mapped_is_said_as_qemu_does_and_without_paging_too(debugger: Debugger) -> None:
    def answered(asked: Debugger) -> str:
        said = talk(asked, encoded(b"qRcmd," + b"info mem".hex().encode()))[1]
        return bytes.fromhex("".join(each[1:].decode() for each in said if is_output(each))).decode()

    size = len(debugger.machine.memory)
    assert answered(debugger) == f"PG disabled\n{0:016x}-{size:016x} {size:016x} -rw\n"
    with Debugger(boot("firmware:btron_pools_wait")) as paged:
        paged.go_to(100_000)
        assert answered(paged) == "0000000080000000-0000000080800000 0000000000800000 -rw\n"


def test_memory_is_read_as_far_as_it_is_mapped(debugger: Debugger) -> None:
    last = len(debugger.machine.memory) - 2
    assert ask(debugger, b"m%x,4" % number(debugger, "count")) == [b"00000000"]
    assert ask(debugger, b"m%x,4" % last, b"mf0000000,4", b"m0,0") == [b"0000", b"E0e", b""]


def test_memory_is_written_or_nothing_of_it(debugger: Debugger) -> None:
    at, last = number(debugger, "count"), len(debugger.machine.memory) - 2
    assert ask(debugger, b"M%x,2:0102" % at, b"X%x,2:\x03\x04" % (at + 2), b"m%x,4" % at) == [
        *(b"OK", b"OK"),
        b"01020304",
    ]
    before = state(debugger)
    refused = ask(debugger, b"M%x,4:01020304" % last, b"M%x,2:01" % at, b"X%x,1:12" % at, b"Mf0000000,1:00")
    assert refused == [b"E0e", b"E16", b"E16", b"E0e"]
    assert state(debugger) == before


def test_registers_are_read_and_written(debugger: Debugger) -> None:
    whole, eip, cr0 = ask(debugger, b"g", b"p8", b"p%x" % NUMBERS["cr0"])
    assert len(whole) == 2 * sum(register.size for register in REGISTERS)
    assert int.from_bytes(bytes.fromhex(eip.decode()), "little") == debugger.machine.registers().eip
    assert int.from_bytes(bytes.fromhex(cr0.decode()), "little") & 1
    assert ask(debugger, b"P3=78563412", b"p3") == [b"OK", b"78563412"]
    changed = b"01000000" + whole[8:]
    assert ask(debugger, b"G" + changed, b"p0") == [b"OK", b"01000000"]


def test_all_registers_are_written_or_none(debugger: Debugger) -> None:
    (whole,) = ask(debugger, b"g")
    at = 2 * sum(register.size for register in REGISTERS[: NUMBERS["cr3"]])
    before = state(debugger)
    assert ask(debugger, b"G" + b"01000000" + whole[8:at] + b"01" + whole[at + 2 :]) == [b"E01"]
    assert state(debugger) == before


@pytest.mark.parametrize(
    "packet", [b"p99", b"P99=00", b"P0=00", b"P0=0000000000", b"P2a=01000000", b"G00", b"pxx"]
)
def test_registers_that_cannot_be_had_are_refused(debugger: Debugger, packet: bytes) -> None:
    before = state(debugger)
    (refused,) = ask(debugger, packet)
    assert refused[:1] == b"E"
    assert state(debugger) == before


def test_the_machine_stops_where_it_is_told_to_and_goes_back(debugger: Debugger) -> None:
    at = number(debugger, "again")
    packets = (b"qSupported:swbreak+", b"Z0,%x,1" % at, b"c", b"c", b"c", b"bc", b"bc", b"bc", b"bc")
    *_, first, second, third, back_2, back_1, start, again = ask(debugger, *packets)
    assert all(field(each, "eip") == at for each in (first, second, third, back_2, back_1))
    assert all(b"swbreak:;" in each for each in (first, second, third, back_2, back_1))
    assert start == again
    assert b"replaylog:begin;" in start
    assert debugger.moment.instructions == 0


def test_breakpoints_of_hardware_are_told_apart_if_the_client_knows_them(debugger: Debugger) -> None:
    at = b"Z1,%x,1" % number(debugger, "again")
    assert b"hwbreak:;" in ask(debugger, b"qSupported:hwbreak+", at, b"c")[-1]
    assert b"hwbreak" not in ask(debugger, at, b"c")[-1]


def test_a_removed_breakpoint_stops_nothing(debugger: Debugger) -> None:
    at = number(debugger, "again")
    *_, answer = ask(debugger, b"Z0,%x,1" % at, b"z0,%x,1" % at, b"z0,%x,1" % at, b"c")
    assert b"replaylog:end;" in answer


def test_a_breakpoint_that_is_taken_away_for_a_step_stops_nothing_but_later_moves(debugger: Debugger) -> None:
    at = b"0,%x,1" % number(debugger, "again")
    cycle = (b"z" + at, b"vCont;s:1", b"vCont;s:1", b"Z" + at, b"vCont;c")
    *_, away, over, _, stop = ask(debugger, b"qSupported:swbreak+", b"Z" + at, b"c", *cycle)
    assert b"swbreak" not in away
    assert b"swbreak" not in over, "it is there, and the client has none"
    assert b"swbreak:;" in stop
    assert debugger.machine.registers().ecx == 1
    *_, end = ask(debugger, b"Z" + at, b"z" + at, b"c")
    assert b"replaylog:end;" in end


def test_a_bad_condition_leaves_the_breakpoint_as_it_was(debugger: Debugger) -> None:
    at = b"Z0,%x,1" % number(debugger, "again")
    _, refused, stop = ask(debugger, at, at + b";X1,2", b"c")
    assert refused == b"E16"
    assert b"replaylog" not in stop


@pytest.fixture
def watched(debugger: Debugger) -> bytes:
    """Where the bytes lie that `again` writes, as in packets."""
    return b"%x,4" % number(debugger, "count")


def count(debugger: Debugger) -> int:
    return debugger.machine.memory.load_u32(number(debugger, "count"))


def test_a_watchpoint_stops_behind_a_write_and_on_the_way_back_in_front_of_it(
    debugger: Debugger, watched: bytes
) -> None:
    write = number(debugger, "again")
    behind = write + 6
    _, *forwards = ask(debugger, b"Z2," + watched, b"c", b"c", b"c")
    assert [field(each, "eip") for each in forwards] == [behind] * 3
    assert all(b"watch:%08x;" % number(debugger, "count") in each for each in forwards)
    assert count(debugger) == 3
    counts, places = [], []
    for _ in range(3):
        *_, back = ask(debugger, b"Z2," + watched, b"bc")
        assert b"watch:%08x;" % number(debugger, "count") in back
        places.append(field(back, "eip"))
        counts.append(count(debugger))
    assert places == [write] * 3
    assert counts == [2, 1, 0]
    assert b"replaylog:begin;" in ask(debugger, b"Z2," + watched, b"bc")[-1]


@pytest.mark.parametrize(("kind", "name"), [(b"3", b"rwatch:"), (b"4", b"awatch:")])
def test_reads_are_watched(debugger: Debugger, watched: bytes, kind: bytes, name: bytes) -> None:
    _, stop = ask(debugger, b"Z" + kind + b"," + watched, b"c")
    assert name in stop
    assert field(stop, "eip") == number(debugger, "again") + 6, "incl reads, and then writes"


@pytest.mark.parametrize(("kind", "stops"), [(b"2", ["read"]), (b"3", ["rest"]), (b"4", ["read", "rest"])])
def test_each_kind_of_watchpoint_stops_at_its_accesses(
    debugger: Debugger, kind: bytes, stops: list[str]
) -> None:
    at = b"Z%b,%x,4" % (kind, number(debugger, "other"))
    _, *moves, end = ask(debugger, at, *[b"c"] * (len(stops) + 1))
    assert [field(each, "eip") for each in moves] == [number(debugger, each) for each in stops]
    assert b"replaylog:end;" in end


@pytest.mark.parametrize("size", [1, 3, 100, 5000])
def test_as_many_bytes_as_one_likes_are_watched(debugger: Debugger, size: int) -> None:
    at = number(debugger, "count")
    _, stop = ask(debugger, b"Z2,%x,%x" % (at, size), b"c")
    assert b"watch:%08x;" % at in stop


def test_steps_back_stop_at_accesses_too(debugger: Debugger, watched: bytes) -> None:
    ask(debugger, b"Z0,%x,1" % number(debugger, "again"), b"c", b"c")
    _, loop, written = ask(debugger, b"Z2," + watched, b"bs", b"bs")
    assert b"watch" not in loop
    assert b"watch" in written
    assert field(written, "eip") == number(debugger, "again")


def test_a_breakpoint_behind_an_access_is_reached_before_it_is_undone(
    debugger: Debugger, watched: bytes
) -> None:
    behind = number(debugger, "again") + 6
    points = (b"Z2," + watched, b"Z0,%x,1" % behind)
    *_, first, second, third, start = ask(debugger, *points, b"c", b"s", b"bc", b"bc", b"bc", b"bc")[3:]
    assert [field(each, "eip") for each in (first, second)] == [behind, behind - 6]
    assert b"watch" in second
    assert third == start


@pytest.mark.parametrize(
    "packet", [b"Z2,f0000000,4", b"Z2,101000,0", b"Z3,fffffffe,4", b"Z4,101000,4;X1,27", b"Z2,101000"]
)
def test_watchpoints_that_cannot_be_are_refused(debugger: Debugger, packet: bytes) -> None:
    assert ask(debugger, packet) == [b"E16"]
    assert debugger.points == ()


def test_points_go_with_their_client(debugger: Debugger) -> None:
    ask(debugger, b"Z0,%x,1" % number(debugger, "again"))
    assert debugger.points == ()


ECX_IS_2 = b"X7,26000122021327"
ECX_IS_9 = b"X7,26000122091327"
NO_VALUE = b"X6,220122000527"  # 1 / 0


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        (ECX_IS_2, [2]),
        (ECX_IS_9, []),
        (ECX_IS_9 + b";" + ECX_IS_2, [2]),
        (NO_VALUE, [3, 2, 1]),  # the client finds out why
    ],
)
def test_conditions_are_evaluated_here(debugger: Debugger, condition: bytes, counts: list[int]) -> None:
    at = b"Z0,%x,1;" % number(debugger, "again") + condition
    packets = [at, *(b"c", b"p1") * (len(counts) + 1), *(b"bc", b"p1") * (len(counts) + 1)]
    answers = ask(debugger, *packets)[1:]
    stops, values = answers[0::2], answers[1::2]
    found = [
        int.from_bytes(bytes.fromhex(value.decode()), "little")
        for stop, value in zip(stops, values, strict=True)
        if b"replaylog" not in stop
    ]
    assert found == [*counts, *reversed(counts)]


def test_a_breakpoint_that_is_set_again_has_its_new_condition(debugger: Debugger) -> None:
    at = b"Z0,%x,1" % number(debugger, "again")
    *_, answer = ask(debugger, at, at + b";" + ECX_IS_9, b"c")
    assert b"replaylog:end;" in answer
    *_, answer = ask(debugger, b"bc", at + b";" + ECX_IS_9, at, b"c")
    assert b"replaylog" not in answer


@pytest.mark.parametrize(
    "text", [b";X7,2600012202132", b";X9,26000122021327", b";cmds:1,X1,27", b";", b";X1,00", b"X1,27"]
)
def test_breakpoints_with_conditions_that_are_none_are_refused(debugger: Debugger, text: bytes) -> None:
    before = state(debugger)
    assert ask(debugger, b"Z0,%x,1" % number(debugger, "again") + text) == [b"E16"]
    assert state(debugger) == before


def test_steps_go_one_instruction(debugger: Debugger) -> None:
    forwards = ask(debugger, b"s", b"vCont;s:1", b"S05", b"vCont;S05")
    assert debugger.moment.instructions == 4
    eips = [field(each, "eip") for each in forwards]
    backwards = ask(debugger, b"bs", b"bs", b"bs", b"bs", b"bs")
    assert [field(each, "eip") for each in backwards[:3]] == eips[2::-1]
    assert b"replaylog:begin;" in backwards[4]


def test_a_range_is_stepped_until_it_is_left(debugger: Debugger) -> None:
    at = number(debugger, "again")
    end = at + 8  # incl and loop
    (answer,) = ask(debugger, b"vCont;r%x,%x:1" % (debugger.machine.registers().eip, end))
    assert field(answer, "eip") == end
    assert debugger.moment.instructions == 2 + 3 * 2


def test_a_range_is_left_at_a_breakpoint(debugger: Debugger) -> None:
    at = number(debugger, "again")
    *_, answer = ask(
        debugger, b"Z0,%x,1" % at, b"vCont;r%x,%x:1" % (debugger.machine.registers().eip, at + 8)
    )
    assert field(answer, "eip") == at


@pytest.mark.parametrize(
    "packet",
    [
        b"vCont;",
        b"vCont;x",
        b"vCont;s:2",
        b"vCont;c:2",
        b"vCont;s;q",
        b"cx",
        b"s00000000000",
        b"C5",
        b"bcx",
        b"bsx",
    ],
)
def test_moves_that_are_none_move_nothing(debugger: Debugger, packet: bytes) -> None:
    before = state(debugger)
    answers = ask(debugger, packet)
    assert answers[-1][:1] == b"E"
    assert state(debugger) == before


def test_a_client_may_end_the_server(debugger: Debugger) -> None:
    assert talk(debugger, encoded(b"k"))[0] is Left.KILLED
    assert talk(debugger, encoded(b"vKill;1")) == (Left.KILLED, [b"OK"])
    assert talk(debugger)[0] is Left.DETACHED


def test_a_bad_packet_is_asked_for_again_and_without_acknowledgements_answered_by_an_error(
    debugger: Debugger,
) -> None:
    assert talk(debugger, b"$?#00", encoded(b"?"))[1][0] == b"E4a"
