"""The comparer of ``make compare-qemu``: what it says of kernels that run the same in QEMU, and of one that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.loader.builtin import resolve
from tests.helpers.guest import FUNCTION, assemble

REPOSITORY = Path(__file__).parents[2]
SAME, DIFFERENT, FAILED = 0, 1, 2
#: Its third call of `look` runs an instruction that differs, see docs/differences.md.
ODD = (
    FUNCTION
    + """
        movl    $3, %ecx
1:      call    look
        loop    1b
        exit    0
        function look
        cld
        movl    $results, %edi
        movl    $0x12345678, %eax
        rep stosb
        movl    $1, %ecx
        decl    count
        jnz     2f
        smsw    %eax
        nop
2:      movl    count, %ecx
        addl    $2, %ecx
        ret
        ends    look
        .data
count:  .long   3
"""
)


def compare(*arguments: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = None if path is None else {"PATH": path}
    return subprocess.run(
        [sys.executable, "-m", "tests.oracle.compare", *map(str, arguments)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    kernel = tmp_path_factory.mktemp("odd") / "odd.elf"
    kernel.write_bytes(assemble(ODD).data)
    return kernel


def test_a_kernel_that_runs_the_same_is_compared_to_its_end() -> None:
    done = compare(resolve("firmware:leak"))
    assert done.returncode == SAME, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.endswith(" points are the same; then QEMU ends and the kernel exits")
    assert int(first.split()[0]) > 1000
    assert last == "  the last of them  debug_exit+0x0 debug_exit.c:19"


def test_the_instruction_that_makes_a_difference_is_named(odd: Path) -> None:
    done = compare(odd)
    assert done.returncode == DIFFERENT, done.stdout + done.stderr
    lines = [each for each in done.stdout.splitlines() if "from the start" not in each]
    assert lines[0] == "4 points are the same"
    assert lines[1].startswith("  the last of them  look+0x0 ")
    assert lines[2].startswith("  instruction       smsw eax  look+")
    assert lines[3].startswith("  then at, here     look+")
    assert lines[4:] == ["  eax here 0x12340011 QEMU 0x00000011"]


def test_each_instruction_can_be_compared_and_repeated_ones_are_one(odd: Path) -> None:
    done = compare(odd, "--every", "1", "--json")
    assert done.returncode == DIFFERENT, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["difference"]["instruction"]["text"] == "smsw eax"
    assert found["difference"]["instruction"]["function"] == "look"
    assert list(found["difference"]["registers"]) == ["eax"]
    assert found["last"]["address"] == found["difference"]["instruction"]["address"]


def test_it_stops_after_so_many_points(odd: Path) -> None:
    done = compare(odd, "--every", "5", "--points", "3")
    assert done.returncode == SAME, done.stdout + done.stderr
    assert done.stdout.startswith("3 points are the same; then 3 points were asked for\n")


def test_a_function_that_is_not_there_is_said_in_one_line(odd: Path) -> None:
    done = compare(odd, "--functions", "look,malloc")
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr == f"compare-qemu: {odd}: the kernel has no function 'malloc'\n"


def test_what_qemu_says_of_a_kernel_it_does_not_start_is_handed_on(odd: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "none.elf"
    kernel.write_bytes(odd.read_bytes().replace(b"\x02\xb0\xad\x1b", bytes(4)))
    done = compare(kernel)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr == (
        f"compare-qemu: {kernel}: QEMU does not start the kernel:"
        " qemu-system-i386: Error loading uncompressed kernel without PVH ELF Note\n"
    )


def test_no_kernel_and_no_qemu(odd: Path) -> None:
    done = compare("/nowhere.elf")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (FAILED, "", 1)
    done = compare(odd, path="/nowhere")
    assert done.returncode == FAILED
    assert done.stderr == (
        f"compare-qemu: {odd}: qemu-system-i386 is not installed: apt-get install qemu-system-x86\n"
    )
