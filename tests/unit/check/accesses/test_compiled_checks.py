"""Accesses that compiled code has reported: where a run ends at one, and which instruction makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from emulator import boot
from emulator.check.accesses.bad_accesses import bad_accesses
from emulator.debug import Debugger
from emulator.guest.symbolizer import Symbolizer
from emulator.machine.execution import Returned
from emulator.profile.known import match
from emulator.profile.reader import parse_profile
from emulator.replay.engine import Rerun
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog
from tests.helpers.kasan_kernel import BUILDS, compile_kasan

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.findings import Finding
    from emulator.machine.core.checked_accesses import CheckedAccesses
    from emulator.machine.machine import Machine

SOURCE: Final = r"""
u8 arena[4096] __attribute__((aligned(16)));
volatile u32 used;
__attribute__((no_sanitize_address)) apart u8 *obtain(u32 size) { u8 *p = arena + used; used += 64 + size; return p; }
apart void put(u8 *p, u32 n) { p[n] = 7; }
apart u32 get(u32 *p, u32 n) { return p[n]; }
apart void both(u16 *p, u32 n) { p[n] += 3; }
void kmain(void)
{
    u8 *p = obtain(16);
    put(p, 15);
    put(p, 16);
    used = get((u32 *)p, 4);
    both((u16 *)p, 8);
    leave(5);
}
"""
PROFILE: Final = """
[heap]
alloc = "obtain(size)"
"""


class Run:
    """A kernel whose accesses are checked.

    Args:
        path: Its file.
        ends: Whether the run ends at each bad access.
        memory: How it is accessed.
    """

    def __init__(self, path: Path, *, ends: bool = False, memory: str = "fast") -> None:
        self.machine: Machine = boot(str(path), mmu=memory)  # type: ignore[arg-type] # one of them
        profile = match(parse_profile(PROFILE, "p"), self.machine.image)
        self._log = CallLog(self.machine, profile)
        self.checks: CheckedAccesses = check_accesses(
            self.machine, profile, (lambda _seen: True) if ends else None
        )

    def findings(self) -> list[Finding]:
        trace = self._log.trace(Symbolizer(self.machine.image))
        return bad_accesses(self.machine, self.checks.seen().accesses, trace)


@pytest.fixture(params=BUILDS)
def kernel(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return compile_kasan(tmp_path, SOURCE, BUILDS[request.param])


def test_a_finding_names_the_instruction_behind_the_check(kernel: Path) -> None:
    run = Run(kernel)
    assert run.machine.run().exit_value == 5
    found = {each.call_site.function: each for each in run.findings() if each.call_site}
    assert list(found) == ["put", "get", "both"]
    for name, size in (("put", "byte"), ("get", "dword"), ("both", "word")):
        by = found[name].details[0]
        assert by.startswith("by ")
        assert f" {size} ptr [" in by
        assert "call" not in by
    assert found["put"].message.startswith("out-of-bounds write of 1 byte")
    assert found["get"].message.startswith("out-of-bounds read of 4 bytes")


def test_a_run_may_end_before_the_access_and_goes_on_with_it(kernel: Path) -> None:
    whole = Run(kernel)
    outcome = whole.machine.run()
    run = Run(kernel, ends=True)
    machine, after = run.machine, run.machine.address_of("arena") + 16
    ends = []
    executed = 0
    while (ended := machine.run()).ending is Returned.BAD_ACCESS:
        executed += ended.instructions
        ends.append((machine.image.location(ended.eip).function[:14], machine.memory.read(after, 1)[0]))
    assert len(ends) == len(whole.checks.seen().accesses) >= 3
    assert ends[0] == ("__asan_report_", 0)
    assert ends[1] == ("__asan_report_", 7)
    assert ended.exit_value == outcome.exit_value
    assert executed + ended.instructions == outcome.instructions
    assert machine.memory.read(0x100000, 0x8000) == whole.machine.memory.read(0x100000, 0x8000)
    assert [each.id for each in run.findings()] == [each.id for each in whole.findings()]


def test_ordinary_memory_shows_the_same(kernel: Path) -> None:
    runs = [Run(kernel, memory=memory) for memory in ("fast", "ordinary")]
    outcomes = [run.machine.run() for run in runs]
    assert outcomes[0] == outcomes[1]
    assert runs[0].findings() == runs[1].findings()


def test_what_was_found_and_the_shadow_are_part_of_a_snapshot(kernel: Path) -> None:
    run = Run(kernel)
    start = run.machine.snapshot()
    first = run.machine.run()
    found = run.findings()
    start.reset()
    assert run.findings() == []
    assert run.machine.run() == first
    assert run.findings() == found


def test_a_run_that_is_repeated_is_the_same(kernel: Path) -> None:
    run = Run(kernel)
    profile = match(parse_profile(PROFILE, "p"), run.machine.image)
    executed = run.machine.run().instructions
    ends = []
    for sanitized in (True, False):
        replay = Rerun(lambda: boot(str(kernel)), profile, sanitized=sanitized).replay()
        ends.append(replay.machine.run().instructions)
    assert ends[0] == executed != ends[1]


CLEARING: Final = r"""
extern u8 __bss_start[], end[];
u8 one[20], two[20], three[20], four[20], five[20];
__attribute__((no_sanitize_address)) apart u8 *obtain(u32 size) { return one + size; }
__attribute__((no_sanitize_address)) apart void *memset(void *to, int value, u32 n) { for (u32 i = 0; i < n; i++) ((volatile u8 *)to)[i] = value; return to; }
void kmain(void)
{
    obtain(0);
    memset(one < five ? one : five, 0, one < five ? five + 20 - one : one + 20 - five);
    memset(three, 0, 30);
    use(two); use(four);
    leave(5);
}
"""


def test_static_memory_may_be_cleared_as_a_whole(tmp_path: Path) -> None:
    run = Run(compile_kasan(tmp_path, CLEARING, BUILDS["gcc-inline"]))
    assert run.machine.run().exit_value == 5
    (found,) = run.findings()
    assert found.message.endswith("across the end of three of 20 bytes")
    assert found.call_site is not None
    assert found.call_site.function == "kmain"


COPYING: Final = r"""
void *__asan_memcpy(void *, const void *, u32); void *__asan_memset(void *, int, u32); void *__asan_memmove(void *, const void *, u32);
u8 text[20], arena[64];
__attribute__((no_sanitize_address)) apart u8 *obtain(u32 size) { return arena + size; }
apart void from(u32 n) { u8 to[40]; __asan_memcpy(to, text, n); use(to); }
apart void to(u32 n) { __asan_memmove(text, text + 4, n); }
apart void set(u32 n) { __asan_memset(text, 7, n); }
void kmain(void)
{
    obtain(0);
    from(20); to(16); set(20); to(0);
    from(21); to(17); set(21);
    leave(text[0] == 7 && text[19] == 7 ? 5 : 6);
}
"""


@pytest.mark.parametrize("name", BUILDS)
def test_copies_that_a_compiler_has_put_in_are_checked_as_a_whole(tmp_path: Path, name: str) -> None:
    run = Run(compile_kasan(tmp_path, COPYING, BUILDS[name]))
    assert run.machine.run().exit_value == 5
    found = {each.call_site.backtrace[1].function: each.message for each in run.findings() if each.call_site}
    assert list(found) == ["from", "to", "set"]
    assert "out-of-bounds read of 21 bytes" in found["from"]
    assert "out-of-bounds read of 17 bytes" in found["to"]
    assert "out-of-bounds write of 21 bytes" in found["set"]
    assert all(text.endswith("across the end of text of 20 bytes") for text in found.values())


MIDDLE: Final = r"""
u8 arena[256] __attribute__((aligned(16)));
u32 used = 4;
__attribute__((no_sanitize_address)) apart u8 *obtain(u32 size) { u8 *p = arena + used; used += 22 + size; return p; }
apart u8 get(u8 *p, int n) { return p[n]; }
apart u32 get_word(u32 *p, int n) { return p[n]; }
void kmain(void)
{
    u8 *p = obtain(10);
    u32 sum = get(p, 0) + get(p, 3) + get(p, 9) + get_word((u32 *)p, 0) + get_word((u32 *)p, 1);
    sum += get(p, -1) + get(p, 10);
    use(&sum);
    leave(5);
}
"""


@pytest.mark.parametrize("name", BUILDS)
def test_a_block_that_begins_in_the_middle_of_eight_bytes_is_known_to_the_byte(
    tmp_path: Path, name: str
) -> None:
    run = Run(compile_kasan(tmp_path, MIDDLE, BUILDS[name]))
    assert run.machine.run().exit_value == 5
    start = run.machine.address_of("arena") + 4
    seen = [access.linear - start for access in run.checks.seen().accesses]
    assert seen == [-1, 10]


def test_the_last_writer_is_searched_in_the_run_whose_checks_find_something(kernel: Path) -> None:
    machine = boot(str(kernel))
    profile = match(parse_profile(PROFILE, "p"), machine.image)
    with Debugger(machine, profile, sanitize=True) as d, d.only():
        d.run()
        assert d.mistakes()
        address = d.image.symbols["used"].address
        after = d.machine.memory.read(address, 4)
        write = d.who(address)
        assert write is not None
        assert write.after == after != write.before
        d.go_to(write.moment)
        assert d.machine.registers().pc == write.pc
        assert d.machine.memory.read(address, 4) == write.before
        d.step()
        assert d.machine.memory.read(address, 4) == after
