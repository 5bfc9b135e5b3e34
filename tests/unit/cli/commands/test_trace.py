"""The command `kmemu trace`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from emulator.trace.trace import Trace
from tests.unit.cli import kernels

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done

KMEMU = (sys.executable, "-m", "emulator.cli.main")


def test_each_call_is_a_line(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:overflow")
    lines = done.out.splitlines()
    assert done.status == 0
    assert lines[4] == "#5   kmalloc(24) = 0x0010b008                      kmain+0x3f overflow.c:20"
    assert lines[7] == "#8   kfree(0x0010b028)                             kmain+0xc8 overflow.c:33"
    assert len(lines) == 12


def test_inner_calls_stand_below_the_outer_one(kmemu: Callable[..., Done]) -> None:
    lines = kmemu("trace", "firmware:btron_demo", "--function", "*_alloc").out.splitlines()
    outer = next(index for index, line in enumerate(lines) if "kmem_alloc(100)" in line)
    assert lines[outer + 1].split("#", 1)[1].split(maxsplit=1)[1].startswith("pmem_alloc(40960) = ")
    assert lines[outer + 1].index("pmem_alloc") == lines[outer].index("kmem_alloc") + 2


def test_calls_are_selected(kmemu: Callable[..., Done]) -> None:
    def numbers(*options: str) -> list[str]:
        out = kmemu("trace", "firmware:leak", *options).out
        return [line.split()[0] for line in out.splitlines()]

    everything = numbers()
    assert len(everything) == 69
    assert numbers("--calls", "4..6") == ["#4", "#5", "#6"]
    assert numbers("--events", "..4") == ["#1", "#2"]
    assert len(numbers("--function", "kmalloc")) == 38
    assert len(numbers("--function", "kmalloc", "--function", "kfree")) == 38 + 27
    assert len(numbers("--function", "kmalloc", "--caller", "write_log")) == 12
    assert len(numbers("--function", "kmalloc", "--size", "200..300")) == 12
    assert numbers("--address", "0x10b210")[:3] == ["#6", "#7", "#8"]


def test_json_has_an_object_for_each_call(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:demo", "--function", "kmalloc", "--json")
    first = json.loads(done.out.splitlines()[0])
    assert done.status == 0
    assert set(first) == {
        *("number", "parent", "depth", "function", "arguments", "result", "stack", "esp"),
        *("entered", "left", "time_ns", "left_time_ns"),
    }
    assert first["arguments"] == {"size": 13}
    assert first["stack"][-1]["function"] == "_start"


def test_json_has_no_result_of_a_function_without_one(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:demo", "--function", "kfree", "--json")
    assert all("result" not in json.loads(line) for line in done.out.splitlines())
    assert done.out


def test_instructions_show_what_they_load_and_store(kmemu: Callable[..., Done]) -> None:
    lines = kmemu("trace", "firmware:demo", "--calls", "5", "--insn").out.splitlines()
    assert lines[0].startswith("#5 ")
    assert "push ebp" in lines[1]
    assert "memmap_free_count+0x0" in lines[1]
    assert any(" -> 0x" in line for line in lines)
    assert lines[-1].split()[1] == "ret"


def test_instructions_of_calls_in_json(kmemu: Callable[..., Done]) -> None:
    line = kmemu("trace", "firmware:demo", "--calls", "5", "--insn", "--json").out
    instructions = json.loads(line)["instructions"]
    assert instructions[0]["text"] == "push ebp"
    assert instructions[0]["accesses"][0]["kind"] == "store"


def test_instructions_of_a_call_that_never_returns(kmemu: Callable[..., Done]) -> None:
    words = ("trace", "firmware:bad_lock_twice", "--insn", "--max-instructions", "40000")
    done = kmemu(*words)
    assert done.status == 4
    assert done.err.startswith("kmemu: budget of 40000 instructions used up at ")
    calls = [line for line in done.out.splitlines() if line.startswith("#")]
    assert calls == kmemu(*words[:2], *words[3:]).out.splitlines()
    assert "0x" in done.out.splitlines()[-1]


def test_more_instructions_than_are_kept(kmemu: Callable[..., Done]) -> None:
    words = ("trace", "firmware:bad_lock_twice", "--insn", "--max-instructions", "150000")
    last = kmemu(*words).out.splitlines()[-1]
    assert last == "     ... (only the first 65536 instructions and accesses of this call)"
    documents = [json.loads(line) for line in kmemu(*words, "--json").out.splitlines()]
    assert [each["whole"] for each in documents] == [True] * (len(documents) - 1) + [False]


def test_a_run_with_instructions_that_takes_too_long_shows_what_it_has(
    kmemu: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1_000_000))
    monkeypatch.setattr("emulator.replay.engine.monotonic", lambda: next(clock))
    done = kmemu("trace", "firmware:demo", "--insn", "--timeout", "200")
    assert done.status == 4
    assert done.err.startswith("kmemu: time budget used up at ")
    lines = done.out.splitlines()
    assert lines[0].startswith("#1 ")
    assert lines[-1] == "     ... (only those there was time for of this call)"


def test_a_trace_is_kept_and_shown_again(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = str(tmp_path / "run.kmt")
    done = kmemu("trace", "firmware:demo", "-o", path)
    assert done.status == 0
    assert "complete, 97 calls, 194 events" in done.out
    assert kmemu("trace", path).out == kmemu("trace", "firmware:demo").out
    assert "LiteCore (all 11 functions with their prototypes, 8 variables)" in done.out
    assert kmemu("trace", path, "--summary").out == done.out
    document = json.loads(kmemu("trace", path, "--summary", "--json").out)
    assert document["calls"] == 97
    trace = Trace.read(path)
    assert trace.header.kernel == "firmware:demo"
    assert trace.header.command_line == ("trace", "firmware:demo", "-o", path)
    assert trace.ending is not None
    assert {area.kind for area in trace.ending.memory_map} >= {"image", "bitmap", "heap"}


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    def trace(seed: str) -> bytes:
        path = tmp_path / "run.kmt"
        command = [*KMEMU, "trace", "firmware:btron_pools_wait", "-o", str(path)]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True)
        return path.read_bytes()

    assert trace("1") == trace("2")


def test_a_killed_run_leaves_a_trace_that_says_so(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"
    command = [*KMEMU, "trace", "firmware:stress", "-o", str(path), "--cmdline", "calls=1000000000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not path.exists() or path.stat().st_size < 10_000_000:
            time.sleep(0.01)
        process.kill()
    trace = Trace.read(str(path))
    assert not trace.complete
    assert len(trace) > 100_000
    assert "incomplete, the run was cut off" in kmemu("trace", str(path), "--summary").out


def test_a_kernel_that_hangs_after_few_calls_leaves_them(tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"
    command = [*KMEMU, "trace", "firmware:stress", "-o", str(path), "--cmdline", "calls=5000"]
    with subprocess.Popen([*command, "--timeout", "0"], stdout=subprocess.DEVNULL) as process:
        while not path.exists() or path.stat().st_size < 100_000:
            time.sleep(0.01)
        process.kill()
    assert 1000 < len(Trace.read(str(path))) < 10_000


def test_ctrl_c_ends_the_run_and_keeps_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.kmt"
    trace = [*KMEMU, "trace", "firmware:stress", "-o", str(path), "--cmdline", "calls=1000000000"]
    command = ["env", "--default-signal=INT", *trace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not path.exists() or path.stat().st_size < 10_000_000:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert err == (
        "kmemu: interrupted; what was recorded until then follows (Ctrl-C once more ends that)\n"
        "kmemu: interrupted\n"
    )
    assert "the run ended: interrupted" in out
    assert Trace.read(str(path)).complete


def test_a_used_up_budget_keeps_the_trace(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = str(tmp_path / "run.kmt")
    done = kmemu("trace", "firmware:stress", "-o", path, "--max-instructions", "1000000")
    assert done.status == 4
    assert "budget of 1000000 instructions used up" in done.err
    assert Trace.read(path).complete


def test_what_the_kernel_says_goes_to_standard_error() -> None:
    done = subprocess.run([*KMEMU, "trace", "firmware:demo", "--console"], capture_output=True, check=True)
    assert done.stderr.endswith(b"done\n")
    assert b"done\n" not in done.stdout


def test_calls_in_lockstep_are_counted(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    trace = str(tmp_path / "run.kmt")
    layers = ("--layer", "memmap=lockstep", "--layer", "heap=lockstep")
    done = kmemu("trace", "firmware:demo", "-o", trace, "--json", *layers)
    count = json.loads(done.out)["lockstep"]["compared"]
    assert count > 100
    assert f"\nLockstep    {count} calls compared\n" in kmemu("trace", trace, "--summary").out
    assert json.loads(kmemu("trace", trace, "--summary", "--json").out)["lockstep"] == {
        "compared": count,
        "given_up": 0,
    }
    assert json.loads(kmemu("trace", "--summary", "--json").out)["lockstep"] is None


def test_what_kmemu_lacks_is_said_beside_the_calls(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", kernels.READ_NOTHING)
    (tmp_path / "p.toml").write_text('name = "mine"\n[heap]\nalloc = "start()"\n')
    line = "does not have memory at 0x00500008: read 1 time, first at start+0x0; RAM ends at 0x00500000, see --ram"
    trace = str(tmp_path / "run.kmt")
    profile = ("--profile", str(tmp_path / "p.toml"))
    assert kmemu("trace", path, *profile).err == f"kmemu: {line}\n"
    assert kmemu("trace", path, *profile, "-o", trace).err == ""
    assert kmemu("trace", trace, "--json").err == f"kmemu: {line}\n"
    assert kmemu("trace", trace, "--summary").err == ""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["/nosuch/run.kmt"], 3, "/nosuch/run.kmt: No such file or directory"),
        (["firmware:demo", "-o", "/nosuch/run.kmt"], 3, "the trace cannot be written: No such file"),
        (["firmware:demo", "-o", "/dev/full"], 3, "/dev/full: the trace cannot be written: No space left"),
        (["firmware:demo", "--calls", "9..3"], 2, "the range 9..3 ends before it begins"),
        (["firmware:demo", "--profile", "/nosuch.toml"], 3, "/nosuch.toml: cannot be read"),
        (["run.kmt", "--insn"], 2, "run.kmt is a trace; --insn needs a kernel to run"),
        (["run.kmt", "--ram", "8M"], 2, "run.kmt is a trace; --ram needs a kernel to run"),
        (["run.kmt", "--boot", "multiboot1"], 2, "run.kmt is a trace; --boot needs a kernel to run"),
        (["run.kmt", "--keys", "a"], 2, "run.kmt is a trace; --keys needs a kernel to run"),
        (["run.kmt", "--until-idle"], 2, "run.kmt is a trace; --until-idle needs a kernel to run"),
        (["run.kmt", "--timeout", "3"], 2, "run.kmt is a trace; --timeout needs a kernel to run"),
        (["run.kmt", "--console"], 2, "run.kmt is a trace; --console needs a kernel to run"),
        (["run.kmt", "-o", "x.kmt"], 2, "run.kmt is a trace; -o needs a kernel to run"),
    ],
)
def test_what_is_wrong_is_one_line(
    kmemu: Callable[..., Done], arguments: list[str], status: int, message: str
) -> None:
    done = kmemu("trace", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert message in done.err


def test_a_kernel_without_a_known_allocator(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", kernels.HALT)
    done = kmemu("trace", path)
    assert done.status == 3
    assert "no built-in profile fits; kmemu init " in done.err


def test_a_folder_is_no_trace(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    done = kmemu("trace", "firmware:demo", "-o", str(tmp_path))
    assert (done.status, done.err) == (3, f"kmemu: {tmp_path}: the trace cannot be written: Is a directory\n")


def test_a_trace_cannot_go_to_standard_output(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        for name in ("-", "/dev/stdout"):
            done = subprocess.run(
                [*KMEMU, "trace", "firmware:overflow", "-o", name],
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            assert done.returncode == 2
            assert done.stderr == (
                f"kmemu: -o {name}: a trace cannot go to standard output, which gets the summary\n"
            )


def test_a_selection_of_nothing_says_so(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:overflow", "--function", "kmallok")
    assert done == (0, "", "kmemu: none of the 12 calls is one of those that were asked for\n")


def test_bad_accesses_stand_after_the_calls(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:bad_overflow", "--sanitize")
    assert (done.status, done.err) == (1, "")
    calls, bad = done.out.split("\n\n", 1)
    assert len(calls.splitlines()) == 8
    assert bad.startswith(
        "BUG: out-of-bounds write of 1 byte to 0x0010b018, 0 bytes after a block of 16 bytes in copy_name"
    )
    document = json.loads(
        kmemu("trace", "firmware:bad_overflow", "--sanitize", "--json").out.splitlines()[-1]
    )
    assert (document["finding"]["kind"], document["finding"]["place"]["function"]) == (
        "out-of-bounds",
        "copy_name",
    )
    assert "BUG: out-of-bounds" in kmemu("trace", "firmware:bad_overflow", "--sanitize", "--summary").out
    assert kmemu("trace", "firmware:bad_overflow_ok", "--sanitize").status == 0


def test_a_trace_may_end_before_the_first_bad_access(kmemu: Callable[..., Done]) -> None:
    done = kmemu("trace", "firmware:use_after_free", "--sanitize", "--halt-on-error")
    assert done.status == 1
    assert done.err == "kmemu: stopped before the bad access at memcpy+0x1f (firmware/common/string.c:33)\n"
    calls, *bad = done.out.split("\n\n")
    assert len(calls.splitlines()) == 9
    assert [each.partition(":")[0] for each in bad] == ["BUG"]


def test_accesses_are_checked_in_runs_only(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = str(tmp_path / "run.kmt")
    assert kmemu("trace", "firmware:leak", "-o", path).status == 0
    assert (
        kmemu("trace", path, "--sanitize").err
        == f"kmemu: {path} is a trace; --sanitize needs a kernel to run\n"
    )
    done = kmemu("trace", "firmware:leak", "--sanitize", "--memory", "reference")
    assert done == (
        2,
        "",
        "kmemu: --sanitize needs kmemu's MMU: with --memory reference nobody tells each access\n",
    )
