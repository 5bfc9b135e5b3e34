from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.helpers.terminal import KMEMU
from tests.unit.cli.kernels import exit_with, write_kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.helpers.terminal import Terminal
    from tests.unit.cli.conftest import Done

    Kmemu = Callable[..., Done]

OVERFLOW = "firmware:overflow"


def test_without_a_terminal_step_says_what_works(kmemu: Kmemu) -> None:
    done = kmemu("step", OVERFLOW)
    assert done == (2, "", "kmemu: step needs a terminal; --print and --who do without\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--json",), "--json goes with --print or --who"),
        (("--print", "--who", "memmap"), "--print and --who cannot both be had"),
        (
            ("--print", "--mmu", "reference"),
            "step needs kmemu's MMU: with --memory reference nobody tells what is written",
        ),
        (("--print", "--at", "25"), "there is no event 25: the run has events 0 to 24"),
        (("--who", "nothing"), "'nothing' is no address and no symbol of the kernel"),
        (("--who", "0x90000000"), "there is no memory at 0x90000000"),
        (("--print", "--at", "@24955"), "there is no instruction 24955: the run has 24954"),
        (("--who", "memmap", "--at", "@24955"), "there is no instruction 24955: the run has 24954"),
        (("--who", "memmap", "--at", "25"), "there is no event 25: the run has events 0 to 24"),
        (
            ("--at", "x"),
            "argument --at: 'x' is no number of an event, and no @INSTRUCTIONS (kmemu step --help shows how)",
        ),
        (
            ("--at", "9" * 30),
            f"argument --at: '{'9' * 30}' is no number of an event, and no @INSTRUCTIONS (kmemu step --help shows how)",
        ),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(
    kmemu: Kmemu, arguments: tuple[str, ...], message: str
) -> None:
    assert kmemu("step", OVERFLOW, *arguments) == (2, "", f"kmemu: {message}\n")


def test_print_shows_all_panes_of_an_event(kmemu: Kmemu) -> None:
    done = kmemu("step", OVERFLOW, "--print", "--at", "10")
    assert done.status == 0
    assert done.err == ""
    lines = done.out.splitlines()
    assert lines[0] == "event 10 of 24: #5 kmalloc has returned"
    assert "heap_free_list               0x0010b000 -> 0x0010b020" in lines
    for title in ("Changes", "Code", "Memory", "Registers", "Call stack", "Console"):
        assert any(line.startswith(f"-- {title} -") for line in lines)
    assert all(len(line) <= 80 or not line.startswith("0x") for line in lines)


def test_print_begins_at_the_start(kmemu: Kmemu) -> None:
    assert kmemu("step", OVERFLOW, "--print").out.startswith("before the first instruction; 24 events\n")


def test_print_shows_any_moment(kmemu: Kmemu) -> None:
    out = kmemu("step", OVERFLOW, "--print", "--at", "@3386").out
    assert out.startswith("kmain+0x48 overflow.c:21; 3,386 instructions, after event 10 of 24\n")
    document = json.loads(kmemu("step", OVERFLOW, "--print", "--at", "@3386", "--json").out)
    assert (document["instructions"], document["event"], document["at_event"]) == (3386, 10, False)
    assert kmemu("step", OVERFLOW, "--print", "--at", "@3384").out.startswith("event 10 of 24: ")


def test_print_as_a_document(kmemu: Kmemu) -> None:
    document = json.loads(kmemu("step", OVERFLOW, "--print", "--at", "10", "--json").out)
    assert (document["version"], document["call"]["function"]) == (1, "kmalloc")
    assert document["changes"][0]["name"] == "heap_free_list"
    assert (document["profile"], "result" in document["call"]) == ("LiteCore", True)


def test_a_call_of_a_function_without_a_result_has_none(kmemu: Kmemu) -> None:
    document = json.loads(kmemu("step", OVERFLOW, "--print", "--at", "16", "--json").out)
    assert document["call"]["function"] == "kfree"
    assert "result" not in document["call"]


def test_who_names_the_last_writer_before_an_event(kmemu: Kmemu) -> None:
    assert re.match(
        r"0x0010a3\w\w  heap_error_count\n0x00000001 became 0x00000002 after event 17\n\n",
        kmemu("step", OVERFLOW, "--who", "heap_error_count").out,
    )
    assert (
        "0x00000000 became 0x00000001"
        in kmemu("step", OVERFLOW, "--who", "heap_error_count", "--at", "16").out
    )
    assert (
        kmemu("step", OVERFLOW, "--who", "0x4ff000").out
        == "nobody has written to 0x004ff000 since the start\n"
    )


def test_who_as_a_document(kmemu: Kmemu) -> None:
    document = json.loads(kmemu("step", OVERFLOW, "--who", "0x10b020", "--json").out)
    assert [frame["function"] for frame in document["stack"]] == ["memset", "kmain", "_start"]
    assert json.loads(kmemu("step", OVERFLOW, "--who", "0x4ff000", "--json").out) is None


def test_models_can_be_stepped_through(kmemu: Kmemu) -> None:
    native = json.loads(kmemu("step", OVERFLOW, "--print", "--at", "10", "--json").out)
    model = json.loads(
        kmemu("step", OVERFLOW, "--print", "--at", "10", "--json", "--layer", "heap=model").out
    )
    assert model["call"]["result"] == native["call"]["result"]
    heap = [change for change in model["changes"] if not change["name"].startswith("stack of ")]
    assert heap == native["changes"]


def test_a_run_in_lockstep_is_stepped_through_as_the_native_one(kmemu: Kmemu) -> None:
    words = ("step", OVERFLOW, "--print", "--at", "10", "--json")
    assert kmemu(*words, "--layer", "heap=lockstep").out == kmemu(*words).out


def test_who_finds_what_a_model_wrote(kmemu: Kmemu) -> None:
    out = kmemu("step", OVERFLOW, "--who", "heap_free_list", "--at", "10", "--layer", "heap=model").out
    assert "0x0010b000 became 0x0010b020 after event 9" in out
    assert "the model of kmalloc\n  0  kmalloc+0x0 heap.c:168\n" in out


def test_a_kernel_of_which_no_allocator_is_known_is_gone_through_all_the_same(
    kmemu: Kmemu, tmp_path: Path
) -> None:
    kernel = write_kernel(tmp_path / "k.elf", b"\x50\x5b" + exit_with(0))  # push eax; pop ebx
    why = f"no built-in profile fits; kmemu init {kernel} writes one"
    done = kmemu("step", kernel, "--print", "--at", "@1")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("start+0x1; 1 instruction\n\n-- Changes ")
    assert f"\nno allocator is known: {why}\n" in done.out
    assert done.out.endswith(f"\nprofile none ({why})\n")
    document = json.loads(kmemu("step", kernel, "--print", "--json", "--at", "@1").out)
    assert [document[key] for key in ("profile", "event", "events", "areas")] == [None, 0, 0, []]
    assert document["registers"]["eip"] == document["stack"][0]["address"] == 0x100001
    assert kmemu("step", kernel, "--print").out.startswith("before the first instruction\n")
    no_events = "kmemu: there are no events: no profile says which functions allocate\n"
    for what in ("--print", "--who=start"):
        assert kmemu("step", kernel, what, "--at", "1") == (2, "", no_events)
    for words in (("--print", "--sanitize"), ("--print", "--profile", str(tmp_path / "none.toml"))):
        assert (kmemu("step", kernel, *words).status, kmemu("step", kernel, *words).out) == (3, "")
    assert why in kmemu("step", kernel, "--print", "--sanitize").err


def test_the_writer_of_a_word_is_found_without_events(kmemu: Kmemu, tmp_path: Path) -> None:
    kernel = write_kernel(
        tmp_path / "k.elf", b"\xc7\x05\0\0\x20\0\x07\0\0\0" + exit_with(0)
    )  # movl $7, 0x200000
    out = kmemu("step", kernel, "--who", "0x200000").out
    assert "\n0x00000000 became 0x00000007 after 0 instructions\n" in out
    document = json.loads(kmemu("step", kernel, "--who", "0x200000", "--json").out)
    assert (document["instructions"], document["event"]) == (0, 0)
    assert kmemu("step", kernel, "--who", "0x200000", "--at", "0").out.startswith("nobody has written")


def test_a_kernel_may_have_a_profile_of_its_own(kmemu: Kmemu, tmp_path: Path) -> None:
    kernel = write_kernel(tmp_path / "k.elf", exit_with(0))
    profile = tmp_path / "p.toml"
    profile.write_text('name = "test"\n[heap]\nalloc = "start(size)"\n')
    done = kmemu("step", kernel, "--print", "--profile", str(profile), "--at", "1")
    assert done.out.startswith("event 1 of 1: #1 start is entered\n")


# -- on a real terminal ------------------------------------------------------------------------------


def test_a_session_on_a_real_terminal(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW, "--at", "8")
    screen = terminal.wait_for("event 8 of 24: #4 memmap_reserve has returned")
    assert "#4" in screen
    terminal.wait_for("? Help")  # the last line is drawn a little later
    terminal.keys("n")
    screen = terminal.wait_for("event 10 of 24: #5 kmalloc has returned")
    assert "char *victim = kmalloc(40);" in screen
    terminal.keys("Tab")
    terminal.wait_for("heap block 0x0010b020 .size  0 → 65496")
    terminal.keys("w")
    terminal.wait_for("Who wrote the word at:")
    terminal.keys("Enter")
    terminal.wait_for("take+0x3d heap.c:90")
    terminal.keys("Enter")
    terminal.wait_for("heap_free_list", gone="Last writer")
    terminal.keys("q")
    assert "left with 0" in terminal.wait_for("left with")


def test_stops_and_variables_on_a_real_terminal(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW)
    terminal.wait_for("before the first instruction; 24 events")
    terminal.wait_for("? Help")
    terminal.keys("b")
    terminal.wait_for("Stop at (FUNCTION")
    terminal.keys(*"kmalloc", "Space", *"if", "Space", *"size>24", "Enter")
    terminal.wait_for("before the first instruction; 24 events", gone="Stop at")
    terminal.keys("c")
    terminal.wait_for("stop 1; kmalloc+0x0 heap.c:168; 3,387 instructions")
    terminal.keys("4")
    terminal.wait_for("size = 40  (uint32_t)")
    terminal.keys("C")
    terminal.wait_for("before the first instruction; 24 events")
    terminal.keys("q")
    terminal.wait_for("left with 0")


def test_a_session_that_is_stopped_and_goes_on_is_as_before(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW)
    terminal.wait_for("before the first instruction; 24 events")
    terminal.wait_for("? Help")
    for number in ("2", "4", "6"):
        terminal.signal(signal.SIGSTOP)
        terminal.signal(signal.SIGCONT)
        terminal.keys("n")
        terminal.wait_for(f"event {number} of 24")
    terminal.keys("q")
    terminal.wait_for("left with 0")


def test_a_session_is_stopped_by_the_key_for_that(terminal: Terminal) -> None:
    terminal.start("--version")
    terminal.wait_for("left with 0")
    terminal.keys(" ".join([*KMEMU, "step", OVERFLOW]), "Enter")
    terminal.wait_for("before the first instruction; 24 events")
    terminal.wait_for("? Help")
    terminal.keys("C-z")
    terminal.wait_for("left with 0", gone="24 events")
    terminal.keys("fg", "Enter")
    terminal.wait_for("before the first instruction; 24 events")
    terminal.keys("n")
    terminal.wait_for("event 2 of 24")
    terminal.keys("q")
    terminal.wait_for("left with 0", gone="24")


def test_a_place_after_the_end_is_the_end(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW, "--at", "@99999")
    terminal.wait_for("the end of the run: the kernel exited with value 0")
    terminal.keys("q")
    terminal.wait_for("left with 0")


def test_a_dumb_terminal_is_none(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW, setting="TERM=dumb")
    screen = terminal.wait_for("left with 2")
    assert "kmemu: step needs a terminal; --print and --who do without" in screen


def test_a_terminal_without_colours_will_do(terminal: Terminal) -> None:
    terminal.start("step", OVERFLOW, "--at", "10", setting="NO_COLOR=1 TERM=vt100")
    terminal.wait_for("event 10 of 24: #5 kmalloc has returned")
    assert re.search(r"\x1b\[(\d+;)*([349]|10)[0-8][;m]", terminal.screen(escapes=True)) is None
    terminal.keys("q")
    terminal.wait_for("left with 0")


def test_an_invalid_address_is_an_error_before_the_run(kmemu: Kmemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("emulator.debug.kernel_debugger.Debugger.run")
    assert kmemu("step", OVERFLOW, "--who", "nothing").status == 2


def test_bad_accesses_of_the_run_are_listed(kmemu: Kmemu) -> None:
    done = kmemu("step", "firmware:bad_late_write", "--sanitize", "--print")
    assert done.status == 0
    assert done.out.startswith("event 14 of 16: ")  # the last one before the access
    pane = done.out.partition("-- Bad accesses --")[2]
    assert "BUG: use after free: read of 4 bytes from 0x0010b008" in pane
    earlier = kmemu("step", "firmware:bad_late_write", "--sanitize", "--print", "--at", "3").out
    assert earlier.startswith("event 3 of 16: ")
    assert "\nafter event 14: use after free: read of 4 bytes from 0x0010b008" in earlier
    assert "BUG" not in earlier
    document = json.loads(kmemu("step", "firmware:bad_late_write", "--sanitize", "--print", "--json").out)
    assert [each["kind"] for each in document["findings"]] == ["use-after-free"]
    assert "findings" not in json.loads(kmemu("step", "firmware:bad_late_write", "--print", "--json").out)


def test_who_wrote_says_that_the_write_is_a_bad_access(kmemu: Kmemu) -> None:
    words = ("step", OVERFLOW, "--sanitize", "--who", "0x10b020")
    checked = json.loads(kmemu("check", OVERFLOW, "--sanitize", "--json").out)
    [report] = [each["id"] for each in checked["findings"] if each["kind"] == "out-of-bounds"]
    out = kmemu(*words).out
    assert "\n0x00000028 became 0x41414141 after event 14\n" in out
    assert (
        f"\nThe write is a bad access:\nBUG: out-of-bounds write of 4 bytes to 0x0010b020, 0 bytes after a block of 24 bytes in memset\nid {report},"
        in out
    )
    assert json.loads(kmemu(*words, "--json").out)["finding"]["id"] == report
    right = (*words[:-1], "0x10b01c")
    assert "memset" in kmemu(*right).out
    assert "bad access" not in kmemu(*right).out
    assert json.loads(kmemu(*right, "--json").out)["finding"] is None
    assert "finding" not in json.loads(kmemu("step", OVERFLOW, "--who", "0x10b020", "--json").out)
    assert "bad access" not in kmemu("step", OVERFLOW, "--who", "0x10b020").out


def test_the_first_line_says_which_bad_access_comes_next(kmemu: Kmemu) -> None:
    words = ("step", "firmware:bad_late_write", "--sanitize", "--print")
    where, _, following = kmemu(*words).out.partition("\n")[0].partition("; next: ")
    assert where == "event 14 of 16: #7 kfree has returned"
    assert following.startswith("use after free: read of 4 bytes from 0x0010b008")
    assert "; next:" not in kmemu(*words, "--at", "13").out
    assert "; next:" not in kmemu(*words[:2], "--print", "--at", "14").out


def test_a_run_that_is_stepped_through_may_end_before_the_first_bad_access(kmemu: Kmemu) -> None:
    words = ("step", "firmware:use_after_free", "--sanitize", "--print")
    done = kmemu(*words, "--halt-on-error")
    assert done.out.startswith("event 18 of 18: ")
    assert kmemu(*words).out.startswith("event 18 of 30: ")


def test_a_run_without_bad_accesses_begins_at_its_start(kmemu: Kmemu) -> None:
    out = kmemu("step", "firmware:bad_late_write_ok", "--sanitize", "--print").out
    assert out.startswith("before the first instruction; ")
    assert "none" in out.partition("-- Bad accesses --")[2].splitlines()


def test_the_program_opens_before_the_first_bad_access(terminal: Terminal) -> None:
    terminal.start("step", "firmware:bad_late_write", "--sanitize")
    terminal.wait_for("event 14 of 16: #7 kfree has returned")
    terminal.keys("q")
    terminal.wait_for("left with 0")
