"""The kernel's mistakes in a test fail it, without a marker, as `kmemu check` shows them; a test may expect them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.c_kernel import compile_kernel
from tests.unit.check import test_inlined_copies as inlined_copies
from tests.unit.check.test_null_accesses import KERNEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.unit.pytest_plugin.conftest import Run

    Failure = Callable[..., list[str]]

FREED_TWICE = """
    block = kernel.call("kmalloc", 64)
    kernel.call("kfree", block)
    kernel.call("kfree", block)
"""


def test_a_double_free_fails_the_test_and_names_its_lines(failure: Failure) -> None:
    report = failure(f"def test_it(kernel):{FREED_TWICE}")
    assert report[0] == "BUG: double free of 0x0010c008 (64 bytes) in kfree"
    assert report[2:] == [
        *("Call trace:", "  the test (test_a_double_free_fails_the_test_and_names_its_lines.py:5)"),
        *(
            "Allocated by call #98, kmalloc:",
            "  the test (test_a_double_free_fails_the_test_and_names_its_lines.py:3)",
        ),
        *(
            "Freed by call #99, kfree:",
            "  the test (test_a_double_free_fails_the_test_and_names_its_lines.py:4)",
        ),
    ]


def test_mistakes_of_each_kind_fail(run: Run) -> None:
    run(
        """
        def test_invalid(kernel):
            kernel.call("kfree", 0x200000)

        def test_inside(kernel):
            kernel.call("kfree", kernel.call("kmalloc", 64) + 8)

        def test_null(kernel):
            kernel.call("memset", 0, 0, 8)

        """
    ).assert_outcomes(failed=3)


def test_mistakes_with_the_other_kernel_fail(run: Run) -> None:
    run(
        """
        def test_size(kernel):
            kernel.call("kmem_free", kernel.call("kmem_alloc", 64), 32)

        def test_heap(kernel):
            block = kernel.call("kmem_alloc", 64)
            kernel.call("kmem_alloc", 64)  # the page stays
            kernel.call("kmem_free", block, 64)
            kernel.call("memset", block, 0xff, 64)
        """,
        kmemu_kernel="firmware:btron_demo",
    ).assert_outcomes(failed=2)


def test_a_null_access_is_shown_with_its_source(failure: Failure) -> None:
    report = failure("def test_it(kernel): kernel.call('memset', 0, 0, 8)")
    assert report[0] == "BUG: write to 0x00000000 through a null pointer in memset"
    assert report[2] == "  2 accesses like this"
    assert report[3:] == ["Call trace:", report[4]]
    assert report[4].startswith("  memset+0x26 (firmware/common/string.c:")


def test_what_is_expected_passes_and_has_to_happen(run: Run, failure: Failure) -> None:
    run(
        f"""
@pytest.mark.kmem_expect("double-free")
def test_freed_twice(kernel):{FREED_TWICE}

@pytest.mark.kmem_expect("null-access", "invalid-free")
def test_two(kernel):
    kernel.call("kfree", 0x200000)
    kernel.call("memset", 0, 0, 8)

@pytest.mark.kmem_expect("heap-corruption")
def test_heap(kernel):
    kernel.call("memset", kernel.call("kmalloc", 64), 0xff, 72)
"""
    ).assert_outcomes(passed=3)
    assert failure("@pytest.mark.kmem_expect('double-free')\ndef test_it(kernel): pass") == [
        "kmem_expect: the kernel did not make this mistake: double-free"
    ]


def test_another_mistake_than_the_expected_one_fails(failure: Failure) -> None:
    report = failure(f"@pytest.mark.kmem_expect('null-access')\ndef test_it(kernel):{FREED_TWICE}")
    assert report[0] == "BUG: double free of 0x0010c008 (64 bytes) in kfree"


def test_what_was_there_before_the_test_is_no_mistake_of_its_own(run: Run) -> None:
    run(
        f"""
@pytest.fixture
def block(kernel):
    return kernel.call("kmalloc", 24)

@pytest.fixture
def broken(kernel):{FREED_TWICE}

def test_frees_what_a_fixture_took(kernel, block):
    kernel.call("kfree", block)

def test_begins_anew(kernel, block):
    kernel.call("kfree", block)

def test_a_fixture_did_wrong(kernel, broken):
    kernel.call("kfree", kernel.call("kmalloc", 8))

@pytest.mark.kmemu(kernel="firmware:leak")
def test_frees_what_the_boot_took(kernel):
    (block,) = [kernel.call("kmalloc", 40)]
    kernel.call("kfree", block)

@pytest.mark.kmemu(boot_until="finish")
def test_boot_ends_earlier(kernel):
    kernel.call("kfree", kernel.call("kmalloc", 8))
"""
    ).assert_outcomes(passed=5)


def test_checks_are_switched_off_by_the_configuration(run: Run) -> None:
    code = f"def test_it(kernel):{FREED_TWICE}"
    run(code, kmemu_check="false").assert_outcomes(passed=1)
    run(f"@pytest.mark.kmemu(check=False)\n{code}").assert_outcomes(passed=1)


def test_a_kernel_of_the_users_own(run: Run, pytester: pytest.Pytester, tmp_path: Path) -> None:
    source = KERNEL.replace("EARLY", "").replace("LATE", "set(take(1000))").replace("PAGE_ZERO", "")
    kernel = compile_kernel(tmp_path, source, ("-g",))
    pytester.path.joinpath("mine.toml").write_text('[heap]\nalloc = "take(size)"\n')
    code = """
        def test_null(kernel):  # as its boot does, after the allocator has come up
            kernel.call("set", kernel.call("take", 1000))

        def test_right(kernel):
            kernel.call("set", kernel.call("take", 8))
    """
    run(code, kmemu_kernel=str(kernel), kmemu_profile="mine.toml").assert_outcomes(passed=1, failed=1)


def test_without_a_profile_null_accesses_are_found(run: Run, tmp_path: Path) -> None:
    source = KERNEL.replace("EARLY", "").replace("LATE", "").replace("PAGE_ZERO", "")
    kernel = compile_kernel(tmp_path, source, ("-g",))
    run("def test_it(kernel): kernel.call('set', 0)", kmemu_kernel=str(kernel)).assert_outcomes(failed=1)


def test_what_is_not_seen_of_a_profile_is_a_warning(run: Run, tmp_path: Path) -> None:
    kernel = compile_kernel(tmp_path, inlined_copies.KERNEL.replace("WORK", ""), ["-g", "-O1"])
    profile = tmp_path / "mine.toml"
    profile.write_text(inlined_copies.PROFILE.replace("UNKNOWN", ""))
    code = """
    def test_it(kernel):
        kernel.call("take_elsewhere", 2, 40)
        kernel.call("give_elsewhere", 2)
    """
    result = run(code, kmemu_kernel=str(kernel), kmemu_profile=str(profile), filterwarnings="default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*PytestWarning: take_inside is inlined in take_elsewhere (1 time): which blocks it makes*"]
    )


ACCESSES = """
def test_beyond(kernel):
    block = kernel.call("kmalloc", 21)
    kernel.call("memset", block, 0, 22)

def test_freed(kernel):
    block = kernel.call("kmalloc", 21)
    kernel.call("kfree", block)
    kernel.call("memset", block, 0, 1)

def test_right(kernel):
    kernel.call("memset", kernel.call("kmalloc", 21), 0, 21)

def test_undone(kernel):
    block = kernel.call("kmalloc", 21)
    with kernel.snapshot():
        kernel.call("memset", block, 0, 22)

@pytest.mark.kmem_expect("out-of-bounds")
def test_expected(kernel):
    kernel.call("memset", kernel.call("kmalloc", 21), 0, 22)
"""


def test_bad_accesses_fail_where_they_are_looked_for(run: Run) -> None:
    run(ACCESSES, kmemu_sanitize="true").assert_outcomes(passed=3, failed=2)


def test_what_fixtures_access_does_not_count(run: Run) -> None:
    run(
        """
        @pytest.fixture
        def ready(kernel):
            kernel.call("memset", kernel.call("kmalloc", 21), 0, 22)

        def test_it(kernel, ready):
            kernel.call("kmalloc", 21)
        """,
        kmemu_sanitize="true",
    ).assert_outcomes(passed=1)


def test_bad_accesses_are_not_looked_for_unasked(run: Run) -> None:
    run(ACCESSES).assert_outcomes(passed=4, failed=1)


def test_a_test_may_ask_for_it_alone(failure: Failure) -> None:
    report = failure(
        """
        @pytest.mark.kmemu(sanitize=True)
        def test_it(kernel):
            block = kernel.call("kmalloc", 21)
            kernel.call("memset", block, 0, 22)
        """
    )
    assert (
        report[0]
        == "BUG: out-of-bounds write of 1 byte to 0x0010c01d, 0 bytes after a block of 21 bytes in memset"
    )
    assert (
        "  the test (test_a_test_may_ask_for_it_alone.py:5)"
        in report[report.index("Allocated by call #98, kmalloc:") :]
    )


def test_a_test_may_ask_for_uses_of_what_was_never_written(run: Run) -> None:
    test = """
        @pytest.mark.kmemu(sanitize=True, uninitialised={uninitialised})
        def test_it(kernel):
            block = kernel.call("kmalloc", 21)
            {writes}
            kernel.call("memcmp", block, block + 4, 4)
    """
    for uninitialised, writes, passes in (
        ("True", "", 0),
        ("False", "", 1),
        ("True", "kernel.memory.write(block, bytes(21))", 1),
    ):
        run(test.format(uninitialised=uninitialised, writes=writes)).assert_outcomes(
            passed=passes, failed=1 - passes
        )


HALTED = """
import pytest

@pytest.mark.kmemu(sanitize=True, halt_on_error=True)
def test_it(kernel):
    block = kernel.call("kmalloc", 21)
    kernel.call("memset", block, 0, 22)
    assert False
"""


def test_a_kernel_that_halts_on_error_stops_the_test_before_the_access(run: Run) -> None:
    done = run(HALTED)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            '>       kernel.call("memset", block, 0, 22)',
            "E*memset did not return: the kernel was stopped before a bad access at memset+0x2a *",
            "E*BUG: out-of-bounds write of 1 byte to 0x0010c01d, 0 bytes after a block of 21 bytes in memset",
            "E*Allocated by call #98, kmalloc:",
            "E*the test (test_a_kernel_that_halts_on_error_stops_the_test_before_the_access.py:7)",
        ]
    )


def test_a_kernel_that_runs_on_stops_there_too(run: Run) -> None:
    done = run(
        """
        import pytest

        @pytest.mark.kmemu(kernel="firmware:bad_overflow", sanitize=True, halt_on_error=True, boot_until="kmain")
        def test_it(kernel):
            kernel.run()
        """
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["E*the kernel was stopped before a bad access at copy_name+0x14 *"])


def test_a_kernel_does_not_halt_before_accesses_that_are_expected(run: Run) -> None:
    expected = '@pytest.mark.kmem_expect("out-of-bounds")\n@pytest.mark.kmemu('
    body = HALTED.replace("@pytest.mark.kmemu(", expected).replace(
        "assert False", "assert kernel.call('kmalloc', 8)"
    )
    run(body).assert_outcomes(passed=1)
    run(
        body.replace(
            "0, 22)", "0, 0)\n    kernel.call('kfree', block)\n    kernel.call('memset', block, 0, 1)"
        )
    ).assert_outcomes(failed=1)
