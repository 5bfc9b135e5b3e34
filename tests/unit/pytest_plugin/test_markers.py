"""What the markers demand: each one satisfied, and each one not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.pytest_plugin.conftest import Run

    Failure = Callable[..., list[str]]

MOST_LINES = 25


def test_what_satisfies_the_markers_passes(run: Run) -> None:
    run(
        """
        @pytest.fixture
        def block(kernel):
            block = kernel.call("kmalloc", 100_000 // 2)  # before the test: neither a leak nor its peak
            yield block
            kernel.call("kfree", block)

        @pytest.mark.kmem_no_leaks
        @pytest.mark.kmem_limit("1 KiB", area="heap")
        def test_it(kernel, block):
            frame = kernel.call("alloc_frame")
            kernel.call("kfree", kernel.call("kmalloc", 1024))
            kernel.call("kfree", kernel.call("kmalloc", 1024))
            assert kernel.call("free_frame", frame) == 0

        @pytest.mark.kmem_limit(16)
        @pytest.mark.kmem_no_leaks
        def test_failed(kernel):
            assert kernel.call("kmalloc", 0x7FFFFFFF) == 0

        @pytest.mark.kmem_fail_nth(2)
        @pytest.mark.kmem_no_leaks
        def test_fails(kernel, block):
            first = kernel.call("kmalloc", 8)
            assert (first, kernel.call("alloc_frame")) == (first, 0xFFFFFFFF)
            assert kernel.call("kmalloc", 8)  # the next one is good again
            kernel.call("kfree", first + 16)
            kernel.call("kfree", first)
        """
    ).assert_outcomes(passed=3)


def test_a_leak_fails_and_names_the_blocks_by_call_site(failure: Failure) -> None:
    report = failure(
        """
        @pytest.mark.kmem_no_leaks
        def test_it(kernel):
            for _ in range(5):
                kernel.call("kmalloc", 24)
            kernel.call("alloc_frames", 2)
        """
    )
    assert report[0] == "6 blocks allocated in this test and not freed, 8312 bytes"
    assert re.fullmatch(r"  frames: 1 block of 8192 bytes at 0x0011c000", report[1])
    assert re.fullmatch(r"    \S+\.py:7 \(the test\)", report[2])
    assert report[3] == "  heap: 5 blocks of 24 bytes at 0x0010c008, 0x0010c028, 0x0010c048 and 2 more"
    assert re.fullmatch(r"    \S+\.py:6 \(the test\)", report[4])
    assert len(report) == 5


def test_a_leak_deep_in_the_kernel_has_its_call_stack(failure: Failure) -> None:
    report = failure(
        """
        @pytest.mark.kmem_no_leaks
        @pytest.mark.kmemu(boot_until="kmain")
        def test_it(kernel):
            kernel.run()
        """,
        kmemu_kernel="firmware:leak",
    )
    assert report[0].startswith("11 blocks allocated in this test and not freed, ")
    assert "    open_session+0x1a leak.c:29" in report
    assert "    serve+0x10 leak.c:61" in report
    assert len(report) <= MOST_LINES


def test_a_report_of_many_call_sites_stays_short(failure: Failure) -> None:
    calls = "\n".join(f"            kernel.call('kmalloc', {size})" for size in range(8, 808, 8))
    report = failure(f"""
        @pytest.mark.kmem_no_leaks
        def test_it(kernel):
{calls}
    """)
    assert report[-1] == "  ... and 96 more places"
    assert len(report) <= MOST_LINES


def test_a_peak_above_the_limit_fails(failure: Failure) -> None:
    report = failure(
        """
        @pytest.mark.kmem_limit("64 KiB")
        def test_it(kernel):
            frame = kernel.call("alloc_frames", 17)
            kernel.call("free_frames", frame, 17)
        """
    )
    assert report[0] == "the test took 69632 bytes of frames at its peak, the limit is 65536 bytes"
    assert report[1] == "  frames: 1 block of 69632 bytes at 0x0011c000"
    assert len(report) == 3


def test_an_allocation_that_should_fail_and_never_comes_fails_the_test(failure: Failure) -> None:
    assert failure(
        """
        @pytest.mark.kmem_fail_nth(3)
        def test_it(kernel):
            kernel.call("kmalloc", 8)
            kernel.call("alloc_frame")
        """
    ) == ["kmem_fail_nth(3): no allocation failed, the test made only 2"]


def test_a_damaged_heap_fails(run: Run, failure: Failure) -> None:
    code = """
        def test_it(kernel):
            kernel.memory.write(kernel.call("kmalloc", 64), b"x" * 72)
    """
    assert failure(code) == [
        "the kernel's heap is damaged after this test:",
        "  0x0010c048 size = 0x78787878: reaches beyond heap_end",
    ]
    run(code, kmemu_walk_heap="false").assert_outcomes(passed=1)


def test_a_kernel_that_died_may_leave_a_damaged_heap(run: Run) -> None:
    run(
        """
        from emulator.errors import GuestStopped

        def test_it(kernel):
            kernel.memory.write(kernel.call("kmalloc", 64), b"x" * 72)
            with pytest.raises(GuestStopped):
                kernel.call("memset", 0x40000000, 0, 4)
        """
    ).assert_outcomes(passed=1)


def test_no_allocation_fails_in_the_test_that_follows(run: Run) -> None:
    run(
        """
        @pytest.mark.kmem_fail_nth(2)
        def test_first(kernel):
            assert kernel.call("kmalloc", 8)
            assert not kernel.call("kmalloc", 8)

        @pytest.mark.kmem_limit("1 KiB")
        def test_second(kernel):
            assert kernel.call("kmalloc", 8)
            assert kernel.call("kmalloc", 8)
        """
    ).assert_outcomes(passed=2)


def test_a_test_that_failed_anyway_says_only_why(failure: Failure) -> None:
    report = failure(
        """
        @pytest.mark.kmem_no_leaks
        def test_it(kernel):
            kernel.call("kmalloc", 64)
            assert 1 == 2
        """
    )
    assert not [line for line in report if "blocks" in line]


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("kmem_no_leaks(1)", "@pytest.mark.kmem_no_leaks takes no arguments"),
        ("kmem_limit()", '@pytest.mark.kmem_limit takes a size such as "64 KiB" and, if wanted, area="heap"'),
        ("kmem_limit('much')", "@pytest.mark.kmem_limit: 'much' is no size such as \"64 KiB\" or 65536"),
        ("kmem_limit(-1)", '@pytest.mark.kmem_limit: -1 is no size such as "64 KiB" or 65536'),
        ("kmem_limit(True)", '@pytest.mark.kmem_limit: True is no size such as "64 KiB" or 65536'),
        ("kmem_limit(1, area='x')", "@pytest.mark.kmem_limit: no area 'x'; there are: heap, frames"),
        ("kmem_fail_nth()", "@pytest.mark.kmem_fail_nth takes the number of an allocation, 1 or more"),
        ("kmem_fail_nth(0)", "@pytest.mark.kmem_fail_nth takes the number of an allocation, 1 or more"),
        ("kmem_fail_nth('1')", "@pytest.mark.kmem_fail_nth takes the number of an allocation, 1 or more"),
        (
            "kmemu('x')",
            "@pytest.mark.kmemu takes no positional arguments, but kernel, profile, ram, cmdline, modules, load, entry, protocol, symbols, disk, boot_until, timeout, walk_heap, check, sanitize, uninitialised, halt_on_error",
        ),
        (
            "kmemu(colour=1)",
            "@pytest.mark.kmemu has no 'colour'; there are: kernel, profile, ram, cmdline, modules, load, entry, protocol, symbols, disk, boot_until, timeout, walk_heap, check, sanitize, uninitialised, halt_on_error",
        ),
        (
            "kmem_expect('leak')",
            "@pytest.mark.kmem_expect takes kinds of findings: double-free, invalid-free, wrong-size-free, wrong-pool-free, overlapping-blocks, bad-result, heap-corruption, null-access, out-of-bounds, use-after-free, unallocated-access, read-only-write, return-address-write, below-stack-access, use-after-scope, uninitialised-use",
        ),
        ("kmemu(ram=1)", "@pytest.mark.kmemu(ram=...): 1 is no text"),
        ("kmemu(modules=1)", '@pytest.mark.kmemu(modules=...): 1 is no list of modules, each "FILE ARGS"'),
        ("kmemu(modules=[1])", "@pytest.mark.kmemu(modules=...): 1 is no text"),
        ("kmemu(load='here')", "@pytest.mark.kmemu(load=...): 'here' is no address such as 0x100000"),
        ("kmemu(entry=-1)", "@pytest.mark.kmemu(entry=...): '-0x1' is no address such as 0x100000"),
        ("kmemu(entry=1.5)", "@pytest.mark.kmemu(entry=...): 1.5 is no text"),
        ("kmemu(protocol='x')", "@pytest.mark.kmemu(protocol=...): 'x' is not one of multiboot1, multiboot2"),
        ("kmemu(timeout=())", "@pytest.mark.kmemu(timeout=...): () is no number of seconds"),
        (
            "kmemu(timeout=-1)",
            "@pytest.mark.kmemu(timeout=...): '-1' is no number of seconds (0 for no limit)",
        ),
        ("kmemu(walk_heap=1)", "@pytest.mark.kmemu(walk_heap=...): 1 is neither True nor False"),
    ],
)
def test_a_marker_with_wrong_arguments_is_an_error(failure: Failure, marker: str, message: str) -> None:
    assert failure(f"""
        @pytest.mark.{marker}
        def test_it(kernel):
            pass
    """) == [message]


def test_a_marker_without_a_kernel_is_an_error(failure: Failure) -> None:
    assert failure("""
        @pytest.mark.kmem_no_leaks
        def test_it():
            pass
    """) == ["@pytest.mark.kmem_no_leaks is of no use without the fixture kernel"]
