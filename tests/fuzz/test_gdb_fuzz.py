"""Whatever a client sends, a server answers it, obeys nothing that is malformed, and lives."""

from __future__ import annotations

import re
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.debug import Debugger
from emulator.debug.gdb.packets import encoded
from emulator.run.ending import Budget
from tests.helpers.gdb import ask, talk
from tests.helpers.guest import machine_of

SOURCE = """
        movl    $3, %ecx
again:  incl    count
        loop    again
        movb    $'!', %al
        outb    %al, $0xe9
        exit    0
        .data
        .globl  count
count:  .long   0
"""
SETTINGS = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = st.one_of(
    st.sampled_from(
        [b"0", b"1", b"10000c", b"100010", b"101000", b"ffffffff", b"4", b"-1", b"", b"g", b"100000000"]
    ),
    st.integers(0, 1 << 33).map(lambda value: b"%x" % value),
)
GOOD = [
    *(b"?", b"g", b"s", b"c", b"bc", b"bs", b"qC", b"qfThreadInfo", b"vCont?", b"vCont;s:1", b"vCont;c"),
    *(
        b"m10000c,10",
        b"M101000,2:0102",
        b"P0=01000000",
        b"Z0,100010,1",
        b"z0,100010,1",
        b"Z0,100010,1;X1,27",
        b"Z2,101004,4",
        b"Z4,101000,10",
    ),
    *(b"qXfer:features:read:target.xml:0,100", b"qRcmd,68656c70", b"Hg1", b"T1", b"qMemoryRegionInfo:100000"),
    *(
        b"qRcmd," + text.hex().encode()
        for text in (b"info", b"goto 0", b"goto @3", b"phys 0x100000 64", b"heap")
    ),
    *(b"qRcmd," + text.hex().encode() for text in (b"checkpoint", b"goto c1", b"info mem", b"break-alloc 1")),
]
SHAPED = st.one_of(
    st.builds(
        lambda *parts: b"".join(parts),
        st.sampled_from([b"m", b"M", b"X", b"P", b"Z0", b"Z2", b"z", b"qXfer:"]),
        NUMBERS,
        st.sampled_from([b",", b":", b"=", b";", b""]),
        NUMBERS,
        st.sampled_from([b"", b":", b",1", b"=00"]),
        st.binary(max_size=6),
    ),
    st.builds(
        lambda name, rest: name + rest,
        st.sampled_from([b"q", b"Q", b"v", b"j", b"vCont;", b"qRcmd,", b"H", b"T"]),
        st.binary(max_size=12),
    ),
    st.builds(
        lambda words: b"qRcmd," + b" ".join(words).hex().encode(),
        st.lists(
            st.sampled_from(
                [
                    b"help",
                    b"info",
                    b"mem",
                    b"phys",
                    b"goto",
                    b"start",
                    b"heap",
                    b"c1",
                    b"@5",
                    b"checkpoint",
                    b"checkpoints",
                    b"off",
                    b"exceptions",
                    b"until-finding",
                    b"break-alloc",
                    b"-1",
                    b"0x",
                    b"99999999999999999999999",
                ]
            ),
            max_size=4,
        ),
    ),
)
PACKETS = st.one_of(st.sampled_from(GOOD), SHAPED, st.binary(max_size=30)).filter(
    lambda payload: not re.match(rb"D|k|vKill|QStartNoAckMode", payload)
)


@cache
def debugger() -> Debugger:
    return Debugger(machine_of(SOURCE), budget=Budget(10_000))  # a changed guest may never end


def state() -> tuple[object, ...]:
    machine = debugger().machine
    memory = bytes(machine.memory.buffer[0x10_0000:0x10_4000])
    return debugger().moment, machine.registers(), memory, debugger().stop_at_exceptions


@SETTINGS
@given(st.lists(PACKETS, max_size=12))
def test_each_packet_has_one_answer(payloads: list[bytes]) -> None:
    assert len(ask(debugger(), *payloads)) == len(payloads)


@SETTINGS
@given(PACKETS)
def test_a_packet_that_is_refused_changes_nothing(payload: bytes) -> None:
    before = state()
    answers = ask(debugger(), payload)
    if answers[-1] == b"" or re.fullmatch(rb"E[0-9a-f]{2}", answers[-1]):
        assert state() == before


@SETTINGS
@given(st.lists(PACKETS, min_size=1, max_size=5), st.data())
def test_damaged_bytes_are_no_end(payloads: list[bytes], data: st.DataObject) -> None:
    sent = bytearray(b"".join(map(encoded, payloads)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        sent[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    talk(debugger(), bytes(sent))
    assert ask(debugger(), b"qC") == [b"QC1"]
