"""What goes wrong in the guest, and with the configuration, is said in a few lines without our own code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pytest_plugin.conftest import Run

    Failure = Callable[..., list[str]]

MOST_LINES = 25

KERNEL = """
static unsigned count;
static void put(char c) { __asm__ volatile("outb %0, %1" :: "a"(c), "Nd"((unsigned short)0xe9)); }
static void print(const char *text) { while (*text) put(*text++); }
__attribute__((noinline)) void innermost(volatile unsigned *where) { *where = 1; count++; }
__attribute__((noinline)) void middle(unsigned depth, volatile unsigned *where)
{
    if (depth) middle(depth - 1, where); else innermost(where);
    count++;
}
__attribute__((noinline)) void outermost(unsigned depth) { print("one\\ntwo\\n"); middle(depth, (void *)0x40000000); count++; }
void spin(void) { print("\\n> "); for (;;) __asm__ volatile("incl %%eax" ::: "eax"); }
void dies(void) { for (char c = 'a'; c <= 'h'; c++) { put(c); put('\\n'); } __asm__ volatile("cli; hlt"); }
void _start(void) { __asm__ volatile("movl $0x80000, %esp; call main; cli; hlt"); }
int main(void) { print("up\\n"); for (int i = 0; i < 10; i++) { print("line "); put('0' + i); put('\\n'); } return 0; }
"""


@pytest.fixture
def kernel(pytester: pytest.Pytester) -> str:
    """Return the path of a kernel that is all of a stranger's own."""
    return str(compile_kernel(pytester.path, KERNEL, ["-g", "-fno-optimize-sibling-calls"]))


def test_a_fault_has_the_call_stack_of_the_guest_and_its_console(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        def test_it(kernel):
            kernel.call("outermost", 1)
        """,
        kmemu_kernel=kernel,
    )
    errors = [line.removeprefix("E").strip() for line in report if line.startswith("E")]
    assert errors[0].startswith(
        "emulator.errors.UnmappedAccess: write to unmapped physical memory 0x40000000 at innermost+0x"
    )
    assert [line.split("+")[0] for line in errors[1:6]] == [
        "the kernel's call stack:",
        "innermost",
        "middle",
        "middle",
        "outermost",
    ]
    assert errors[2].endswith("kernel.c:5")
    assert f" at {errors[2].split()[0]} (" in errors[0]
    assert errors[6:] == ["the console:", "one", "two"]
    assert not [line for line in report if "machine.py" in line or "pytest_plugin/" in line]
    assert len(report) <= MOST_LINES


def test_a_deep_stack_is_cut(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        def test_it(kernel):
            kernel.call("outermost", 30)
        """,
        kmemu_kernel=kernel,
    )
    assert [line for line in report if "more levels" in line]
    assert len(report) <= MOST_LINES


def test_a_call_that_hangs_says_where(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        def test_it(kernel):
            kernel.call("spin")
        """,
        kmemu_kernel=kernel,
        kmemu_timeout="0.2",
    )
    assert any("BudgetUsedUp: budget of 0.2 seconds used up at spin+0x" in line for line in report)
    assert len(report) <= MOST_LINES


def test_a_kernel_that_ends_in_a_call_says_what_it_said_last(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        def test_it(kernel):
            kernel.call("dies")
        """,
        kmemu_kernel=kernel,
    )
    errors = [line.removeprefix("E").strip() for line in report if line.startswith("E")]
    assert errors[0].startswith(
        "emulator.errors.GuestStopped: dies did not return: the kernel halted at dies+0x"
    )
    assert errors[-6:] == ["the last lines of the console:", "d", "e", "f", "g", "h"]


def test_a_prompt_without_a_newline_is_noticed(run: Run, kernel: str) -> None:
    run(
        """
        def test_it(kernel):
            machine = kernel.machine
            machine.cpu.set_registers(machine.cpu.registers()._replace(eip=kernel.symbol("spin")))
            assert kernel.expect("> ") == "\\n> "
        """,
        kmemu_kernel=kernel,
    ).assert_outcomes(passed=1)


def test_what_was_expected_and_never_said_shows_the_last_lines(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        @pytest.mark.kmemu(boot_until="main")
        def test_it(kernel):
            kernel.expect("line 3")
            kernel.expect("ready")
        """,
        kmemu_kernel=kernel,
    )
    errors = [line.removeprefix("E").strip() for line in report if line.startswith("E")]
    assert errors[0].startswith(
        "AssertionError: the console never said 'ready': the kernel halted at _start+0x"
    )
    assert errors[1:] == ["the last lines of the console:", "line 5", "line 6", "line 7", "line 8", "line 9"]
    assert len(report) <= MOST_LINES


def test_a_budget_ends_an_expectation(failure: Failure, kernel: str) -> None:
    report = failure(
        """
        @pytest.mark.kmemu(boot_until="main")
        def test_it(kernel):
            kernel.expect("ready", max_instructions=10)
        """,
        kmemu_kernel=kernel,
    )
    assert any("never said 'ready': budget of 10 instructions used up" in line for line in report)


def test_an_unknown_function_is_one_line(failure: Failure) -> None:
    report = failure(
        """
        def test_it(kernel):
            kernel.call("kmallok", 64)
        """
    )
    errors = [line for line in report if line.startswith("E")]
    assert len(errors) == 1
    assert errors[0].endswith("demo.elf: no function 'kmallok' in its symbol table")


def test_without_a_configured_kernel_the_test_says_how_to_configure_one(failure: Failure) -> None:
    assert failure("def test_it(kernel): pass", kmemu_kernel="") == [
        'no kernel to test: set kmemu_kernel in the configuration of pytest, or mark the test with @pytest.mark.kmemu(kernel="...")'
    ]


def test_a_missing_kernel_is_searched_in_the_root_directory(
    failure: Failure, pytester: pytest.Pytester
) -> None:
    assert failure("def test_it(kernel): pass", kmemu_kernel="build/kernel.elf") == [
        f"{pytester.path}/build/kernel.elf: cannot be read: No such file or directory"
    ]


def test_a_kernel_that_never_reaches_the_end_of_its_boot(failure: Failure, kernel: str) -> None:
    report = failure("def test_it(kernel): pass", kmemu_kernel=kernel, kmemu_boot_until="spin")
    assert report[0].startswith("the kernel halted at _start+0x")
    assert report[0].endswith(" with interrupts off before it reached spin, where its boot should end")
    assert report[-1] == "  line 9"


def test_a_boot_that_fails_is_no_start_for_tests(failure: Failure, pytester: pytest.Pytester) -> None:
    source = 'void _start(void) { __asm__ volatile("outl %0, %1" :: "a"(3), "Nd"((unsigned short)0xf4)); for (;;) ; }'
    kernel = str(compile_kernel(pytester.path, source))
    report = failure("def test_it(kernel): pass", kmemu_kernel=kernel)
    assert report[0] == "the kernel exited with value 3 when it booted; boot_until can end its boot earlier"


def test_a_boot_that_hangs_costs_its_time_once(run: Run, kernel: str) -> None:
    result = run(
        """
        import time

        @pytest.mark.kmemu(kernel="spin.elf", timeout=0.3)
        @pytest.mark.parametrize("number", range(200))
        def test_it(kernel, number):
            pass
        """,
        kmemu_kernel=str(compile_kernel_that_spins(kernel)),
    )
    result.assert_outcomes(errors=200)
    assert result.duration < 30  # and not 60


def compile_kernel_that_spins(kernel: str) -> Path:
    path = Path(kernel).with_name("spin.elf")
    source = "void _start(void) { for (volatile int i = 0;; i++) ; }"
    folder = path.parent / "spinning"
    folder.mkdir()
    compile_kernel(folder, source).rename(path)
    return path


def test_a_kernel_without_a_known_allocator_needs_a_profile(failure: Failure, kernel: str) -> None:
    report = failure("@pytest.mark.kmem_no_leaks\ndef test_it(kernel): pass", kmemu_kernel=kernel)
    assert len(report) == 1
    assert "no built-in profile fits" in report[0]


def test_a_profile_of_the_project_is_used(failure: Failure, pytester: pytest.Pytester) -> None:
    pytester.makefile(
        ".toml", profile='[only]\nalloc = "alloc_frame() -> frame"\nfree = "free_frame(frame) -> error"\n'
    )
    report = failure(
        """
        @pytest.mark.kmem_no_leaks
        def test_it(kernel):
            kernel.call("kmalloc", 64)
            kernel.call("alloc_frame")
        """,
        kmemu_profile="profile.toml",
    )
    assert report[:2] == [
        "1 block allocated in this test and not freed, 4096 bytes",
        "  only: 1 block of 4096 bytes at 0x0011c000",
    ]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("kmemu_ram", "lots", "kmemu_ram: 'lots' is no size such as 64M, 1G or 0x4000000"),
        ("kmemu_load", "1x", "kmemu_load: '1x' is no address such as 0x100000"),
        ("kmemu_timeout", "soon", "kmemu_timeout: 'soon' is no number of seconds (0 for no limit)"),
    ],
)
def test_a_wrong_configuration_ends_pytest(run: Run, option: str, value: str, message: str) -> None:
    result = run("def test_it(): pass", **{option: value})
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.errlines[0] == f"ERROR: {message}"


def test_without_drgn_only_what_needs_it_fails(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "drgn", None)
    report = failure(
        """
        def test_it(kernel):
            assert kernel.call("kmalloc", 8)
            kernel.object("memmap")
        """
    )
    errors = [line for line in report if line.startswith("E")]
    assert errors == [
        "E       emulator.pytest_plugin.guest_memory.NoObject: kernel.object() needs drgn: pip install 'kmemu[drgn]'"
    ]


def test_an_unknown_variable_is_one_line(failure: Failure) -> None:
    report = failure("def test_it(kernel): kernel.object('nonsense')")
    errors = [line for line in report if line.startswith("E")]
    assert len(errors) == 1
    assert errors[0].endswith("demo.elf: no variable 'nonsense' in its debug information")
