"""Findings as people read them."""

from __future__ import annotations

from dataclasses import replace

from emulator.check.check_report import CheckReport
from emulator.check.findings import BlockHistory, CallSite, FaultingWrite, Finding, Kind
from emulator.check.hex_dumps import hex_dump
from emulator.check.measures import AreaMeasures
from emulator.guest.symbolizer import NOTHING_KNOWN, Frame
from emulator.report.text.findings import LINES_MAX, difference_lines, finding_lines, report_lines
from emulator.report.text.style import Style
from emulator.run.ending import Ending, How
from emulator.verdict.difference import Difference, Importance
from emulator.wording import MORE_CALLERS
from kernel_model.memory import ByteMemory

PLAIN = Style(100)
DEEP = tuple(Frame(0x100000 + level, f"level_{level}", level, "deep.c", level + 1) for level in range(9))
BLOCK = BlockHistory(0x200008, 24, CallSite(1, 2, "kmalloc", DEEP), CallSite(2, 3, "kfree", DEEP[:2]))
FINDING = Finding(
    Kind.DOUBLE_FREE, "heap", "double free of 0x00200008 (24 bytes)", CallSite(3, 5, "kfree", DEEP), BLOCK
)
WRITE = FaultingWrite(0x100040, "mov [eax], edx", 4, 1, 0x41414141, 0x200000, DEEP)
REPORT = CheckReport("k.elf", Ending(How.EXIT, 0), 10, 5, (), {}, 1.25)


def test_all_stacks_are_there_and_cut() -> None:
    assert finding_lines([FINDING], PLAIN) == [
        "BUG: double free of 0x00200008 (24 bytes) in kfree",
        f"id {FINDING.id}, area heap, event 5, call #3",
        "Call trace:",
        "  level_0+0x0 (deep.c:1)",
        "  level_1+0x1 (deep.c:2)",
        "  level_2+0x2 (deep.c:3)",
        "  level_3+0x3 (deep.c:4)  (and 5 more)",
        "Allocated by call #1, kmalloc:",
        "  level_0+0x0 (deep.c:1)",
        "  level_1+0x1 (deep.c:2)",
        "  level_2+0x2 (deep.c:3)  (and 6 more)",
        "Freed by call #2, kfree:",
        "  level_0+0x0 (deep.c:1)",
        "  level_1+0x1 (deep.c:2)",
    ]


def test_the_faulting_write_is_shown() -> None:
    lines = finding_lines([replace(FINDING, faulting_write=WRITE)], PLAIN)
    at = lines.index("Broken after event 4 by:") + 1
    assert lines[at] == "  mov [eax], edx   0x00200000: 0x00000001 -> 0x41414141"
    assert lines[at + 1] == "  level_0+0x0 (deep.c:1)"


def test_a_finding_is_never_longer_than_promised() -> None:
    details = tuple(f"detail {index}" for index in range(40))
    dump = tuple(f"line {index}" for index in range(6))
    full = replace(FINDING, faulting_write=WRITE, details=details, hex_dump=dump)
    assert len(finding_lines([full], PLAIN)) <= LINES_MAX
    assert "  detail 0" in finding_lines([full], PLAIN)
    assert "  (and 36 more)" in finding_lines([full], PLAIN)
    assert finding_lines([full], PLAIN)[1].endswith(", memory state only with --json")


def test_a_hex_dump_is_whole_or_not_there() -> None:
    dump = ("line 1", "line 2")
    lines = finding_lines([replace(FINDING, hex_dump=dump)], PLAIN)
    assert lines[-3:] == ["Memory state around the buggy address:", *dump]


def test_what_is_not_known_is_said() -> None:
    unknown = Finding(Kind.INVALID_FREE, "", "a message", CallSite(3, 5, "kfree", ()))
    assert finding_lines([unknown], PLAIN)[1:] == [
        f"id {unknown.id}, event 5, call #3",
        "Call trace:",
        "  (unknown caller)",
    ]
    nameless = replace(
        unknown, call_site=CallSite(3, 5, "kfree", (Frame(0x100020), Frame(0x100030, "f", 1, "f.c")))
    )
    assert finding_lines([nameless], PLAIN)[3:] == ["  0x00100020", "  f+0x1 (f.c)"]


def test_where_no_symbol_is_no_function_is_named() -> None:
    finding = Finding(Kind.DIED, "", "a message", CallSite(0, 5, "", (Frame(0x100020),)))
    assert finding_lines([finding], PLAIN) == [
        "BUG: a message",
        f"id {finding.id}, event 5",
        "Call trace:",
        "  0x00100020",
    ]


def test_where_no_caller_is_known_no_function_is_named() -> None:
    jump = replace(FINDING, call_site=CallSite(0, 5, MORE_CALLERS, (Frame(0, MORE_CALLERS, 0, "", 0),)))
    assert finding_lines([jump], PLAIN)[0] == "BUG: double free of 0x00200008 (24 bytes)"


def test_what_a_terminal_could_take_for_a_command_is_escaped() -> None:
    evil = "\x1b]0;x\x07"
    call_site = CallSite(1, 1, evil, (Frame(1, evil, 0, evil, 1),))
    finding = Finding(Kind.DIED, evil, evil, call_site, details=(evil,))
    assert all("\x1b" not in line for line in finding_lines([finding], PLAIN))
    assert all("\x1b" not in line for line in report_lines(REPORT._replace(kernel=evil), PLAIN))


def test_equal_findings_are_shown_once_with_their_number() -> None:
    other = replace(FINDING, kind=Kind.INVALID_FREE, message="another")
    lines = list(report_lines(REPORT._replace(findings=(FINDING, other, FINDING)), PLAIN, ignored=2))
    assert [line for line in lines if line.startswith("BUG: ")] == [
        "BUG: double free of 0x00200008 (24 bytes) in kfree",
        "BUG: another in kfree",
    ]
    assert lines[1] == f"id {FINDING.id}, area heap, event 5, call #3, first of 2 alike"
    assert lines[-2:] == [
        "k.elf: 3 findings (2 distinct), 2 ignored; 5 calls, peak ",
        "the kernel exited with value 0 after 1.2 s",
    ]


def test_what_is_suppressed_and_what_is_not_used_is_said() -> None:
    lines = list(report_lines(REPORT._replace(suppressed={"leak:a": 2, "*:b": 1}), PLAIN))
    assert lines == [
        "k.elf: no findings, 3 suppressed; 5 calls, peak ",
        "the kernel exited with value 0 after 1.2 s",
    ]
    lines = list(report_lines(REPORT._replace(suppressed={"leak:a": 0, "*:b": 1, "*:\n": 0}), PLAIN))
    assert lines[0] == "k.elf: no findings, 1 suppressed; 5 calls, peak "
    assert lines[1] == "suppressions that were not used: leak:a, *:\\n"


def test_a_pipe_gets_every_line_whole() -> None:
    long = replace(FINDING, message="double free of 0x00200008 " * 20, faulting_write=WRITE)
    lines = finding_lines([long], Style(40))
    assert lines[0] == f"BUG: {long.message} in kfree"
    assert "  mov [eax], edx   0x00200000: 0x00000001 -> 0x41414141" in lines


def test_a_terminal_folds_lines_and_loses_no_word_of_them() -> None:
    full = replace(FINDING, details=("0x00200008 next = 0x206f6f74: should be 0",), faulting_write=WRITE)
    whole = finding_lines([full], Style())
    for room in (40, 60, 80, 200):
        narrow = finding_lines([full], Style(room=room))
        assert max(map(len, narrow)) <= room
        assert " ".join(narrow).split() == " ".join(whole).split()


def test_every_part_of_a_folded_line_has_its_colour() -> None:
    narrow = finding_lines([FINDING], Style(room=41))
    coloured = finding_lines([FINDING], Style(room=41, colour=True))
    assert narrow[:2] == ["BUG: double free of 0x00200008 (24 bytes)", "    in kfree"]
    assert coloured[:2] == [f"\x1b[31;1m{line}\x1b[0m" for line in narrow[:2]]
    assert coloured[5] == narrow[5] == "  level_0+0x0 (deep.c:1)"


def test_memory_is_sixty_columns_wide_and_halved_where_there_are_fewer() -> None:
    memory = ByteMemory(0x1000, 0x1000)
    dump = hex_dump(memory, 0x1030, 0x1026)
    shown = replace(FINDING, block=None, hex_dump=dump)
    assert finding_lines([shown], Style(room=60))[-len(dump) :] == list(dump)
    assert finding_lines([shown], Style(room=59))[-6:] == [
        " 0x00001010: 00 00 00 00 00 00 00 00",
        "             00 00 00 00 00 00 00 00",
        ">0x00001020: 00 00 00 00 00 00 00 00",
        "                               ^^^^^^",
        "             00 00 00 00 00 00 00 00",
        "             ^^^^^",
    ]


def test_states_of_bytes_stand_beside_the_second_half() -> None:
    dump = (
        f">0x00001020: {bytes(range(16)).hex(' ')}  ........RRRRRRRR",
        " " * 13 + " " * 24 + "^^",
        " each byte: . accessible, R beside a block",
    )
    shown = replace(FINDING, block=None, hex_dump=dump)
    assert finding_lines([shown], Style(room=80))[-3:] == list(dump)
    assert finding_lines([shown], Style(room=59))[-4:] == [
        ">0x00001020: 00 01 02 03 04 05 06 07",
        "             08 09 0a 0b 0c 0d 0e 0f  ........RRRRRRRR",
        "             ^^",
        " each byte: . accessible, R beside a block",
    ]


def test_what_is_live_at_the_end_is_summed_up() -> None:
    nothing = AreaMeasures(64, 0, 0, 4, 0, 0.0, {})
    measures = {
        "heap": replace(nothing, end_bytes=96, end_blocks=3),
        "pools": nothing,
        "pages": replace(nothing, end_bytes=12288, end_blocks=3, lost_bytes=8192, lost_blocks=2),
        "slab": replace(nothing, end_bytes=40, end_blocks=1, lost_bytes=40, lost_blocks=1),
    }
    lines = list(report_lines(REPORT._replace(measures=measures), Style(200)))
    assert lines[1] == (
        "live at the end: heap 96 B in 3 blocks; pages 12 KiB in 3 blocks, of that 8 KiB in 2 blocks lost; "
        "slab 40 B in 1 block, all lost"
    )
    lines = list(report_lines(REPORT._replace(measures={"pools": nothing}), Style(200)))
    assert not any("live at the end" in line for line in lines)


def test_the_profile_is_named() -> None:
    assert list(report_lines(REPORT._replace(profile="mine\x1b"), PLAIN))[-1] == (
        "the kernel exited with value 0 after 1.2 s; profile mine\\x1b"
    )


def differences(failing: int, others: int = 0) -> list[Difference]:
    return [
        *(Difference(Importance.MORE, f"{number}", f"bad {number}") for number in range(failing)),
        *(Difference(Importance.LESS, f"{number}", f"good {number}") for number in range(others)),
    ]


def test_each_difference_is_a_line() -> None:
    assert difference_lines(differences(2, 1), Style()) == ["- bad 0", "- bad 1", "+ good 0"]
    assert difference_lines([], Style()) == []


def test_there_are_twenty_lines_at_most() -> None:
    assert difference_lines(differences(20), Style())[-1] == "- bad 19"
    lines = difference_lines(differences(21, 1000), Style())
    assert len(lines) == 20
    assert lines[-2:] == ["- bad 18", "  and 1,002 more, 2 of them regressions"]
    assert difference_lines(differences(1, 20), Style())[-1] == "  and 2 more"


def test_what_fails_is_red_and_names_are_harmless() -> None:
    lines = difference_lines([Difference(Importance.MORE, "k", "a\n\x1bb")], Style(colour=True))
    assert lines == ["\x1b[31m- a\\n\\x1bb\x1b[0m"]


def test_why_call_traces_end_early_is_said_where_a_kernel_has_no_frames() -> None:
    early = Finding(Kind.DIED, "", "a message", CallSite(0, 5, "f", (Frame(0x100020), NOTHING_KNOWN)))
    whole = Finding(Kind.DIED, "", "a message", CallSite(0, 5, "f", (Frame(0x100020),)))
    said = [
        any(line.startswith("call traces end early") for line in report_lines(report, PLAIN))
        for report in (
            REPORT._replace(findings=(early,), has_frames=False),
            REPORT._replace(findings=(whole,), has_frames=False),
            REPORT._replace(findings=(early,)),
        )
    ]
    assert said == [True, False, False]
