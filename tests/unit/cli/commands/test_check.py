"""The command `kmemu check`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from emulator.machine.core.checked_accesses import CheckedAccesses
from tests.unit.cli import kernels
from tests.unit.loader.elf_builder import BASE, FUNC, Sym

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

DOUBLE_FREE = """\
BUG: double free of 0x0010b050 (64 bytes) in kfree
id bd947b83a062, area heap, event 17, call #9, first of 3 alike
Call trace:
  kmain+0x85 (firmware/scenarios/double_free.c:25)
  _start+0x33 (firmware/common/entry.S:47)
Allocated by call #6, kmalloc:
  kmain+0x4d (firmware/scenarios/double_free.c:21)
  _start+0x33 (firmware/common/entry.S:47)
Freed by call #8, kfree:
  kmain+0x7d (firmware/scenarios/double_free.c:24)
  _start+0x33 (firmware/common/entry.S:47)
Memory state around the buggy address:
 0x0010b030: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
 0x0010b040: 00 00 00 00 00 00 00 00 40 00 00 00 00 00 00 00
>0x0010b050: d8 b0 10 00 00 00 00 00 00 00 00 00 00 00 00 00
             ^^^^^^^^^^^
 0x0010b060: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
 0x0010b070: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00

firmware:double_free: 3 findings (1 distinct); 19 calls, peak heap 192 B, frames 0 B
not checked: """


def profile(folder: Path, text: str = '[heap]\nalloc = "start(size)"\n') -> str:
    path = folder / "kernel.toml"
    path.write_text(f'name = "mine"\n{text}')
    return str(path)


def test_leaks_are_looked_at_where_a_text_ends_the_run(kmemu: Callable[..., Done]) -> None:
    ended = kmemu("check", "firmware:leak", "--until", "done")
    assert (ended.status, ended.err) == (1, "")
    assert "BUG: leak" in ended.out or "lost" in ended.out
    assert "the text it was run for appeared, at " in ended.out
    missed = kmemu("check", "firmware:demo", "--until", "login:")
    assert (missed.status, missed.err) == (
        1,
        "kmemu: 'login:' did not appear: the kernel exited with value 0\n",
    )


def test_a_finding_reads_like_one_of_kasan(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:double_free")
    assert done.status == 1
    assert done.out.startswith(DOUBLE_FREE)
    assert done.err == ""


OVERFLOW = """\
BUG: out-of-bounds write of 1 byte to 0x0010b018, 0 bytes after a block of 16 bytes in copy_name
id ff7cf730637d, area heap, event 12
  by mov byte ptr [ebx + eax], cl at 0x00101014
  block #5 is 0x0010b008-0x0010b018
Call trace:
  copy_name+0x14 (firmware/scenarios/bad_overflow.c:16)
  kmain+0x5f (firmware/scenarios/bad_overflow.c:28)
  _start+0x33 (firmware/common/entry.S:47)
Allocated by call #5, kmalloc:
  kmain+0x3e (firmware/scenarios/bad_overflow.c:26)
  _start+0x33 (firmware/common/entry.S:47)
Memory state around the buggy address:
 0x0010aff0: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
 0x0010b000: 10 00 00 00 01 00 00 00 73 69 78 74 65 65 6e 20  --------........
>0x0010b010: 6c 65 74 74 65 72 73 21 28 00 00 00 01 00 00 00  ........--------
                                     ^^
 0x0010b020: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
 each byte: . accessible, - in no block
"""


def test_each_access_is_checked(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:bad_overflow", "--sanitize")
    assert (done.status, done.err) == (1, "")
    assert OVERFLOW in done.out
    without = kmemu("check", "firmware:bad_overflow")
    assert "out-of-bounds" not in without.out
    assert "use after free" not in without.out


def test_a_bad_access_is_at_its_line_in_each_format(kmemu: Callable[..., Done]) -> None:
    words = ["check", "firmware:bad_overflow", "--sanitize", "--ignore", "nobody"]
    document = json.loads(kmemu(*words, "--json").out)
    [finding] = [each for each in document["findings"] if each["kind"] == "out-of-bounds"]
    assert finding["place"]["stack"][0]["line"] == 16
    assert finding["block"]["allocated"]["stack"][0]["line"] == 26
    assert "out-of-bounds" in document["checked"]
    sarif = json.loads(kmemu(*words, "--format", "sarif").out)
    [result] = [each for each in sarif["runs"][0]["results"] if each["ruleId"] == "out-of-bounds"]
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "firmware/scenarios/bad_overflow.c"
    assert location["region"] == {"startLine": 16}
    github = kmemu(*words, "--format", "github").out
    assert (
        "::error file=firmware/scenarios/bad_overflow.c,line=16,title=kmemu%3A out-of-bounds access::"
        in github
    )
    assert (
        'classname="kmemu.out-of-bounds"' in kmemu(*words, "--format", "junit").out
        or "out-of-bounds" in kmemu(*words, "--format", "junit").out
    )


HALTING = ("check", "firmware:use_after_free", "--sanitize", "--halt-on-error")


def accesses_of(document: dict[str, Any]) -> list[str]:
    """Return the functions that have made bad accesses."""
    return [each["place"]["function"] for each in document["findings"] if each["kind"] == "use-after-free"]


def test_a_check_may_end_before_the_first_bad_access(kmemu: Callable[..., Done]) -> None:
    done = kmemu(*HALTING)
    assert done.status == 1
    assert "\nstopped before the bad access at memcpy+0x1f (firmware/common/string.c:33) after " in done.out
    document = json.loads(kmemu(*HALTING, "--json").out)
    assert accesses_of(document) == ["memcpy"]
    assert (document["status"], document["ending"]["how"]) == (1, "bad access")
    assert document["unchecked"]["leak"] == "the run has not come to its end"
    assert [each["function"] for each in document["findings"][0]["place"]["stack"]][:2] == ["memcpy", "kmain"]


def test_a_bad_access_that_is_left_out_ends_no_check(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    suppressions, baseline = tmp_path / "known.supp", tmp_path / "base.json"
    suppressions.write_text("use-after-free:memcpy\n")
    document = json.loads(kmemu(*HALTING, "--json", "--suppressions", str(suppressions)).out)
    assert (accesses_of(document), document["ending"]["how"]) == (["kmain"], "bad access")
    document = json.loads(kmemu(*HALTING, "--json", "--ignore", "kmain").out)
    assert (document["findings"], document["ending"]["how"]) == ([], "exit")
    kmemu(*HALTING[:3], "--baseline", str(baseline), "--update-baseline")
    document = json.loads(kmemu(*HALTING, "--json", "--baseline", str(baseline)).out)
    assert (document["status"], document["ending"]["how"]) == (0, "exit")
    assert kmemu(*HALTING, "--baseline", str(baseline), "--update-baseline").err.endswith(
        "was not written: the kernel did not end the run by itself\n"
    )


def test_to_halt_needs_accesses_that_are_checked(kmemu: Callable[..., Done]) -> None:
    for command in ("check", "trace", "boot", "step"):
        done = kmemu(command, "firmware:demo", "--halt-on-error")
        assert done == (2, "", "kmemu: --halt-on-error goes with --sanitize\n")


def test_more_bad_accesses_than_are_kept_are_said(
    kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = CheckedAccesses.seen
    monkeypatch.setattr(CheckedAccesses, "seen", lambda self: seen(self)._replace(missed=True))
    done = kmemu("check", "firmware:bad_overflow", "--sanitize")
    assert "BUG: out-of-bounds" in done.out
    assert (
        "unallocated access, write to read-only memory, write over a return address, access below the stack (there were more bad accesses than are kept)"
        in " ".join(done.out.split())
    )


def test_the_reference_mmu_checks_no_access_and_says_so(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:bad_overflow", "--sanitize", "--memory", "reference")
    assert "BUG: out-of-bounds" not in done.out
    assert (
        "unallocated access, write to read-only memory, write over a return address, access below the stack (with --memory reference nobody tells each access)"
        in " ".join(done.out.split())
    )


def test_a_clean_kernel(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:exhaust")
    assert done.status == 0
    first, unchecked, last = done.out.splitlines()
    assert first == "firmware:exhaust: no findings; 1017 calls, peak heap 62 KiB, frames 3.9 MiB"
    assert unchecked == (
        "not checked: free with a wrong size (no free of the profile has a size); release to the wrong pool (no free "
        "of the profile has a pool); bad mapping, refcount mismatch, deadlock (no such structure is known, or was whole); "
        "stale translation (paging was never on)"
    )
    assert last.startswith("the kernel exited with value 0 after ")


def test_leaks_can_be_chosen(kmemu: Callable[..., Done]) -> None:
    assert kmemu("check", "firmware:leak").status == 1
    assert kmemu("check", "firmware:leak", "--leaks", "none").status == 0
    assert kmemu("check", "firmware:btron_demo").status == 0
    done = kmemu("check", "firmware:btron_demo", "--leaks", "all")
    assert done.status == 1
    assert done.out.startswith("BUG: live at the end: 4096 bytes in 1 block still reachable\n")
    assert "of 4096 bytes at 0x8013e000: pointed to by " in done.out


def test_what_is_provoked_can_be_ignored_and_is_counted(kmemu: Callable[..., Done]) -> None:
    assert kmemu("check", "firmware:demo").status == 1
    done = kmemu("check", "firmware:demo", "--ignore", "show_ref*")
    assert done.status == 0
    assert done.out.startswith("firmware:demo: no findings, 4 ignored; ")
    assert kmemu("check", "firmware:demo", "--ignore", "show_heap").status == 1
    assert kmemu("check", "firmware:leak", "--ignore", "serve", "--ignore", "load_config").status == 0


def test_json_is_one_document(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:leak", "--json")
    document = json.loads(done.out)
    assert done.status == document["status"] == 1
    assert document["kernel"] == "firmware:leak"
    assert document["ending"] == {"how": "exit", "exit_value": 0, "text": "the kernel exited with value 0"}
    assert (document["events"], document["calls"]) == (138, 69)
    assert document["areas"]["heap"]["lost_bytes"] == 1200
    assert document["areas"]["heap"]["callers"]["send_reply"]["calls"] == 12
    first = document["findings"][0]
    assert (first["id"], first["kind"], first["area"], first["place"]) == (
        "294d5be8a299",
        "leak",
        "heap",
        None,
    )
    assert first["block"]["allocated"]["stack"][0]["function"] == "load_config"
    assert document["reachable"] == []
    assert document["checked"] == [
        *("bad-result", "bitmap-mismatch", "double-free", "heap-corruption", "invalid-free", "kernel-died"),
        *("kernel-failed", "leak", "lock-held", "lock-taken-twice", "null-access", "overlapping-blocks"),
        "reserved-frame",
        "wild-access",
    ]
    assert document["unchecked"]["lockstep-divergence"] == "no layer ran in lockstep"
    assert document["unchecked"]["stale-translation"] == "paging was never on"


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        (["--leaks", "none"], {"leak"}),
        (["--max-instructions", "5045"], {"leak", "lock-held"}),
        (["--fail-nth", "99"], {"lock-held", "lock-taken-twice"}),
        (["--layer", "heap=lockstep"], {"lockstep-divergence"}),
    ],
)
def test_the_checked_kinds_are_those_the_options_leave(
    words: list[str], changed: set[str], kmemu: Callable[..., Done]
) -> None:
    usual, other = (
        set(json.loads(kmemu("check", "firmware:leak", "--json", *more).out)["checked"])
        for more in ([], words)
    )
    assert usual ^ other == changed


def test_no_call_is_no_success(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    code = kernels.exit_with(0)
    path = kernels.write_kernel(tmp_path / "k.elf", code + b"\xc3", Sym("kmalloc", BASE + len(code), 1, FUNC))
    (tmp_path / "p.toml").write_text('[heap]\nalloc = "kmalloc()"\n')
    done = kmemu("check", path, "--profile", str(tmp_path / "p.toml"))
    assert done.status == 3
    assert done.err == "kmemu: nothing was checked: no call of kmalloc was seen\n"


def test_one_name_of_a_known_kernel_is_not_taken_for_it(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    code = kernels.exit_with(0)
    path = kernels.write_kernel(
        tmp_path / "k.elf", code + b"\xc3", Sym("kmem_init", BASE + len(code), 1, FUNC)
    )
    done = kmemu("check", path)
    assert done.status == 3
    assert done.err.startswith(f"kmemu: {path}: no built-in profile fits; ")
    assert done.err.endswith(f"kmemu init {path} writes one\n")


def test_no_allocator_is_no_success(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    done = kmemu("check", kernels.write_kernel(tmp_path / "k.elf", kernels.HALT))
    assert done.status == 3
    assert "k.elf" in done.err


@pytest.mark.parametrize(
    ("code", "options", "status", "text"),
    [
        (kernels.exit_with(5), (), 1, "BUG: the kernel exited with value 5"),
        (kernels.UNDEFINED, (), 1, "BUG: the kernel died: "),
        (kernels.LOOP, ("--max-instructions", "1000"), 4, "budget of 1000 instructions used up at "),
        (kernels.JUMP_INTO_ROM, (), 3, "k.elf: no findings"),
    ],
)
def test_a_kernel_that_ends_badly_still_has_its_report(
    code: bytes, options: tuple[str, ...], status: int, text: str, kmemu: Callable[..., Done], tmp_path: Path
) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", code)
    done = kmemu("check", path, "--profile", profile(tmp_path), *options)
    assert done.status == status
    assert text in done.out
    assert "calls, peak heap 0 B" in done.out


def test_findings_are_worth_more_than_a_used_up_budget(kmemu: Callable[..., Done]) -> None:
    done = kmemu("check", "firmware:double_free", "--max-instructions", "15000")
    assert done.status == 1
    assert "budget of 15000 instructions used up at " in done.out


def test_the_console_can_be_shown(kmemu: Callable[..., Done]) -> None:
    assert "a server that forgets" not in kmemu("check", "firmware:leak").err
    assert "a server that forgets" in kmemu("check", "firmware:leak", "--console").err


def test_audits_during_the_run_change_nothing_for_a_clean_kernel(kmemu: Callable[..., Done]) -> None:
    assert kmemu("check", "firmware:fragment", "--walk-every", "10").status == 0


def test_a_wrong_option_is_a_command_line_error(kmemu: Callable[..., Done]) -> None:
    assert kmemu("check", "--leaks", "some").status == 2
    assert kmemu("check", "--walk-every", "0").status == 2


def test_a_limit_for_an_area_that_is_not_there_is_an_error_of_the_command_line(
    kmemu: Callable[..., Done],
) -> None:
    for option in ("--max-heap=foo=3", "--max-leaked=foo=3", "--max-fragmentation=foo=1"):
        done = kmemu("check", option)
        assert (done.status, done.out) == (2, "")
        assert done.err == f"kmemu: {option.partition('=')[0]}: no area 'foo'; there are: heap, frames\n"


def test_findings_that_are_known_are_suppressed(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    known = tmp_path / "known.supp"
    known.write_text("# of the demo\n\ndouble-free:double_free.c:kmain\n  leak:*\n")
    done = kmemu("check", "firmware:double_free", "--suppressions", str(known))
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("firmware:double_free: no findings, 3 suppressed; 19 calls")
    assert "suppressions that were not used: leak:*" in lines
    done = kmemu("check", "firmware:double_free", "--suppressions", str(known), "--json")
    assert json.loads(done.out)["suppressed"] == {"double-free:double_free.c:kmain": 3, "leak:*": 0}


def test_a_profile_may_suppress(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = profile(
        tmp_path, 'suppressions = "double-free:kmain"\n[heap]\nalloc = "kmalloc(size)"\nfree = "kfree(ptr)"\n'
    )
    done = kmemu("check", "firmware:double_free", "--profile", path)
    assert done.out.startswith("firmware:double_free: no findings, 3 suppressed; ")
    path = profile(tmp_path, 'suppressions = "doublefree:kmain"\n[heap]\nalloc = "kmalloc(size)"\n')
    done = kmemu("check", "firmware:double_free", "--profile", path)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(
        "kmemu: suppressions of profile mine: there is no kind 'doublefree'; there are: double-free, "
    )
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("\nkmain\n", "line 2: 'kmain' is no suppression such as "),
        ("leek:kmain", "line 1: there is no kind 'leek'; there are: double-free, "),
        ("leak:\udcff", "is not UTF-8: invalid start byte at byte 5"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_bad_file_of_suppressions_is_one_line(
    kmemu: Callable[..., Done], tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "known.supp"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    done = kmemu("check", "firmware:double_free", "--suppressions", str(path))
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"kmemu: --suppressions {path}: {problem}")
    assert done.err.count("\n") == 1


def test_where_a_result_cannot_go_is_said_before_the_run(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    for words in (
        ["--format", f"junit={tmp_path}/none/x"],
        ["--baseline", f"{tmp_path}/none/x", "--update-baseline"],
    ):
        done = kmemu("check", *words)
        assert (done.status, done.out) == (3, "")
        assert done.err == f"kmemu: cannot write {tmp_path}/none/x: No such file or directory\n"


@pytest.mark.parametrize("code", [kernels.HALT, kernels.exit_with(7)], ids=["halts", "exits with 7"])
def test_every_run_that_ends_by_itself_can_be_a_baseline(
    kmemu: Callable[..., Done], tmp_path: Path, code: bytes
) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", code)
    words = ["check", path, "--profile", profile(tmp_path), "--baseline", str(tmp_path / "base.json")]
    assert kmemu(*words, "--update-baseline").status == 0
    assert (tmp_path / "base.json").exists()
    assert kmemu(*words).status == 0


@pytest.mark.parametrize(
    ("code", "why", "status"),
    [
        (kernels.LOOP, "the kernel did not end the run by itself", 4),
        (kernels.UNDEFINED, "the kernel did not end the run by itself", 1),
    ],
)
def test_a_baseline_that_is_not_written_is_reported(
    kmemu: Callable[..., Done], tmp_path: Path, code: bytes, why: str, status: int
) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", code)
    base = tmp_path / "base.json"
    done = kmemu(
        "check",
        path,
        "--profile",
        profile(tmp_path),
        "--baseline",
        str(base),
        "--update-baseline",
        "--max-instructions=1000",
    )
    assert done.status == status
    assert done.err.endswith(f"kmemu: {base} was not written: {why}\n")
    assert not base.exists()


def test_a_run_without_a_call_is_no_baseline(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", kernels.HALT + b"\x90", Sym("never", BASE + 2, 1, FUNC))
    base = tmp_path / "base.json"
    text = profile(tmp_path, '[heap]\nalloc = "never()"\n')
    done = kmemu("check", path, "--profile", text, "--baseline", str(base), "--update-baseline")
    assert done.status == 3
    assert done.err == (
        "kmemu: nothing was checked: no call of never was seen\n"
        f"kmemu: {base} was not written: no call was seen\n"
    )
    assert not base.exists()
