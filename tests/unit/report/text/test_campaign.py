from __future__ import annotations

from emulator.check.findings import CallSite
from emulator.guest.symbolizer import Frame
from emulator.inject.campaign import Campaign, Reaction, Trial
from emulator.inject.policy import FailedCall
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.model import Profile
from emulator.report.text.campaign import campaign_lines
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How

PROFILE = Profile(
    "mine",
    (
        TracedFunction("kmalloc", "heap", Role.ALLOC, ("size",), Result.POINTER, 0),
        TracedFunction("get_blk", "pools", Role.ALLOC, ("out", "pool"), Result.ERROR, 0xFFFFFFF6),
    ),
)
MAIN = Frame(0x100200, "kmain", 0x20, "kernel/main.c", 9)
GOOD = Ending(How.EXIT, 0, instructions=5000)
WIDE = Style(width=100, unicode=True)


def trial(
    number: int,
    caller: str,
    size: int,
    reaction: Reaction,
    *,
    ending: str = "exit value 0",
    location: str = "",
) -> Trial:
    stack = (Frame(0x100100, caller, 0x10, "kernel/a.c", 3), MAIN)
    call = FailedCall(CallSite(2 * number, 4 * number, "kmalloc", stack), (size,), 0)
    return Trial(number, call, reaction, ending, location)


CAMPAIGN = Campaign(
    GOOD,
    5,
    (
        trial(1, "start", 8, Reaction.REPORTS, ending="exit value 7"),
        trial(2, "open", 24, Reaction.SURVIVES),
        trial(3, "open", 24, Reaction.DIES, ending="#UD invalid opcode", location="use+0x5 (kernel/a.c:8)"),
        trial(4, "open", 100, Reaction.DIES, ending="#UD invalid opcode", location="use+0x5 (kernel/a.c:8)"),
        trial(5, "wait", 8, Reaction.HANGS, ending="no end after 9 instructions", location="wait+0x1"),
    ),
)


def test_the_worst_comes_first() -> None:
    assert list(campaign_lines(CAMPAIGN, PROFILE, "k.elf", WIDE)) == [
        "k.elf: 5 allocations made to fail, one in each run: 1 survived, 1 reported it, 1 hung, 2 died",
        "without a failure: exit value 0 after 5000 instructions",
        "",
        "count  verdict                 call              called from",
        "    2  dies                    kmalloc(24..100)  open+0x10 a.c:3 < kmain+0x20 main.c:9",
        "         allocation 3: #UD invalid opcode at use+0x5 (kernel/a.c:8)",
        "    1  hangs                   kmalloc(8)        wait+0x10 a.c:3 < kmain+0x20 main.c:9",
        "         allocation 5: no end after 9 instructions at wait+0x1",
        "    1  reports (exit value 7)  kmalloc(8)        start+0x10 a.c:3 < kmain+0x20 main.c:9",
        "    1  survives                kmalloc(24)       open+0x10 a.c:3 < kmain+0x20 main.c:9",
    ]


def test_what_is_not_known_says_why() -> None:
    lost = trial(2, "open", 24, Reaction.UNKNOWN, ending="the process that tried it ended by SIGKILL")
    campaign = Campaign(GOOD, 5, (trial(1, "open", 24, Reaction.SURVIVES), lost))
    assert list(campaign_lines(campaign, PROFILE, "k.elf", WIDE)) == [
        ("k.elf: 2 of 5 allocations made to fail, one in each run, evenly spread: 1 survived, 1 not known"),
        "without a failure: exit value 0 after 5000 instructions",
        "",
        "count  verdict   call         called from",
        "    1  unknown   kmalloc(24)  open+0x10 a.c:3 < kmain+0x20 main.c:9",
        "         allocation 2: the process that tried it ended by SIGKILL",
        "    1  survives  kmalloc(24)  open+0x10 a.c:3 < kmain+0x20 main.c:9",
    ]


def test_a_terminal_cuts_call_stacks_only() -> None:
    narrow = list(campaign_lines(CAMPAIGN, PROFILE, "k.elf", Style(room=62)))
    assert max(map(len, narrow)) <= 62
    assert narrow[0:2] == [
        "k.elf: 5 allocations made to fail, one in each run: 1",
        "    survived, 1 reported it, 1 hung, 2 died",
    ]
    assert narrow[5].endswith(" open+0x10 a..")
    assert "         allocation 3: #UD invalid opcode at use+0x5" in narrow


def test_a_pipe_gets_all_of_it() -> None:
    narrow = campaign_lines(CAMPAIGN, PROFILE, "k.elf", Style(width=40))
    assert list(narrow) == list(campaign_lines(CAMPAIGN, PROFILE, "k.elf", Style(width=100)))


def test_verdicts_have_colours() -> None:
    lines = list(campaign_lines(CAMPAIGN, PROFILE, "k.elf", WIDE._replace(colour=True)))
    assert "\x1b[31mdies                  \x1b[0m" in lines[4]
    assert "\x1b[32msurvives              \x1b[0m" in lines[9]


def test_a_sample_says_so() -> None:
    sample = Campaign(GOOD, 5, CAMPAIGN.trials[1:2])
    assert next(iter(campaign_lines(sample, PROFILE, "k.elf", WIDE))) == (
        "k.elf: 1 of 5 allocations made to fail, one in each run, evenly spread: 1 survived"
    )


def test_a_run_without_allocations_has_no_table() -> None:
    nothing = Campaign(Ending(How.HALTED, eip=0x100000, instructions=5), 0, ())
    assert list(campaign_lines(nothing, PROFILE, "k.elf", WIDE)) == [
        "k.elf: 0 allocations made to fail, one in each run",
        "without a failure: halted after 5 instructions",
    ]


def test_text_from_a_kernel_is_made_harmless() -> None:
    evil = Campaign(GOOD, 5, (trial(1, "a\x1b[m", 8, Reaction.DIES, ending="x\x1b", location="\x07"),))
    assert "\x1b" not in "".join(campaign_lines(evil, PROFILE, "\x1bk", WIDE))
    assert "\x07" not in "".join(campaign_lines(evil, PROFILE, "\x1bk", WIDE))


def test_pointers_are_addresses() -> None:
    call = FailedCall(CallSite(1, 1, "get_blk", (MAIN,)), (0x80001000, 3), 0xFFFFFFF6)
    lines = campaign_lines(
        Campaign(GOOD, 5, (Trial(1, call, Reaction.SURVIVES, "exit value 0", ""),)), PROFILE, "k", WIDE
    )
    assert "  get_blk(0x80001000, 3)  " in list(lines)[-1]
