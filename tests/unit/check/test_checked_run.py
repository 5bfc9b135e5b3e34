"""Checks of whole kernels."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.check.checked_run import check_kernel
from emulator.check.findings import Kind
from emulator.check.structures.run_audits import RunAudits
from emulator.errors import HostError
from emulator.hle.kernels import LITECORE
from emulator.hle.layers import Mode
from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.report.text.ending import ending_text
from emulator.run.ending import Budget, How
from tests.helpers.guest import FUNCTION, machine_of
from tests.helpers.traces import TraceBuilder
from tests.unit.check.structures.test_corruption import go_to, put_stub
from tests.unit.cli import kernels

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.check.check_report import CheckReport
    from emulator.machine.recording import Recording

SHORT = Budget(max_instructions=50_000_000)


def check(name: str, budget: Budget = SHORT, *, command_line: str = "", walk_every: int = 0) -> CheckReport:
    def new() -> Machine:
        return boot(f"firmware:{name}", command_line=command_line)

    machine = new()
    profile = matching_profile(machine.image)
    return check_kernel(machine, profile, budget, new_machine=new, walk_every=walk_every)


def kinds_and_messages(report: CheckReport) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.message) for finding in report.findings]


@pytest.mark.parametrize(
    ("name", "command_line"),
    [
        ("fragment", ""),
        ("exhaust", ""),
        ("stress", "calls=20000"),
        ("btron_demo", ""),
        ("btron_fragment", ""),
        ("btron_stress", "calls=5000"),
        ("vm_demo", ""),
        ("vm_share", ""),
        ("vm_stack_growth", ""),
        ("vm_fault", ""),
        ("vm_churn", "calls=50"),
        ("btron_pools_wait", ""),
    ],
)
def test_kernels_that_do_nothing_wrong_are_clean(name: str, command_line: str) -> None:
    report = check(name, command_line=command_line)
    assert kinds_and_messages(report) == []
    assert (report.ending.how, report.ending.exit_value) == (How.EXIT, 0)
    assert report.events >= report.calls > 50


def test_double_frees_are_found_with_a_hex_dump() -> None:
    report = check("double_free")
    assert kinds_and_messages(report) == [
        ("double-free", "double free of 0x0010b050 (64 bytes)"),
        ("double-free", "double free of 0x0010b050 (64 bytes)"),
        ("double-free", "double free of 0x0010b008 (64 bytes)"),
    ]
    dump = report.findings[0].hex_dump
    assert dump[2].startswith(">0x0010b050: d8 b0 10 00 00 00 00 00")  # the link of the free list
    assert dump[3] == " " * len(">0x0010b050: ") + "^^^^^^^^^^^"
    assert report.findings[1].hex_dump == ()  # alike


def test_findings_come_in_the_order_of_events() -> None:
    """Wrong frees are searched for before broken structures."""

    def new() -> Machine:
        machine = boot("firmware:overflow")
        code = b"\x68" + (0x10B028).to_bytes(4, "little")  # push: the victim, which is freed
        code += go_to(b"\xe8", len(code), machine.address_of("kfree")) + b"\x59"  # pop ecx
        code += go_to(b"\xe9", len(code), machine.address_of("mem_has_space"))
        put_stub(machine, code, callee="mem_has_space")
        return machine

    report = check_kernel(new(), matching_profile(new().image), SHORT, new_machine=new)
    assert [kind for kind, _ in kinds_and_messages(report)][:2] == ["heap-corruption", "double-free"]


def test_the_wrong_frees_that_the_demo_provokes_are_found() -> None:
    report = check("demo")
    assert [kind for kind, _ in kinds_and_messages(report)] == [
        "invalid-free",
        "invalid-free",
        "invalid-free",
        "double-free",
    ]
    assert {finding.call_site and finding.call_site.backtrace[0].function for finding in report.findings} == {
        "show_refusals"
    }
    assert report.findings[0].hex_dump[3].startswith("  0x0010c010") or report.findings[0].hex_dump[
        2
    ].startswith(">0x0010c010")


def test_leaks_are_found_by_function() -> None:
    report = check("leak")
    found = [
        (each.block and each.block.allocated.backtrace[0].function, each.message) for each in report.findings
    ]
    assert found == [
        ("load_config", "memory leak: 512 bytes in 1 block definitely lost"),
        ("write_log", "memory leak: 400 bytes in 4 blocks definitely lost"),
        ("open_session", "memory leak: 288 bytes in 6 blocks definitely lost"),
    ]
    area = report.measures["heap"]
    assert (area.lost_bytes, area.lost_blocks) == (1200, 11)
    assert (area.peak_bytes, area.peak_blocks, area.calls, area.failed) == (1712, 12, 66, 0)
    assert area.callers["write_log"].calls == 12
    assert area.peak is not None
    assert area.peak.backtrace[0].function == "load_config"


def test_the_same_kernel_has_the_same_findings() -> None:
    assert [each.id for each in check("leak").findings] == [each.id for each in check("leak").findings]


def code_kernel(folder: Path, code: bytes) -> Machine:
    return Machine(KernelImage.read(kernels.write_kernel(folder / "kernel.elf", code)))


NOTHING = Profile("nothing", (TracedFunction("start", "heap", Role.OTHER, (), Result.NONE),))


def test_a_kernel_that_dies_outside_of_recorded_calls_has_a_backtrace() -> None:
    machine = machine_of(f"""{FUNCTION}
        xorl    %ebp, %ebp
        call    take
        call    outer
        function take
        ret
        ends    take
        function outer
        pushl   %ebp
        movl    %esp, %ebp
        call    inner
        leave
        ret
        ends    outer
        function inner
        pushl   %ebp
        movl    %esp, %ebp
        ud2
        ends    inner
    """)
    (finding,) = check_kernel(
        machine, Profile("test", (TracedFunction("take", "heap", Role.OTHER, (), Result.NONE),))
    ).findings
    assert finding.kind is Kind.DIED
    assert finding.call_site is not None
    assert [frame.function for frame in finding.call_site.backtrace] == ["inner", "outer", "_start"]


def test_a_kernel_that_dies_is_a_finding_with_a_call_site(tmp_path: Path) -> None:
    report = check_kernel(code_kernel(tmp_path, kernels.UNDEFINED), NOTHING)
    (finding,) = report.findings
    assert finding.kind is Kind.DIED
    assert finding.message == f"the kernel died: {ending_text(report.ending)}"
    assert report.ending.how is How.STOPPED
    assert finding.call_site is not None
    assert (finding.call_site.call, finding.call_site.event, finding.call_site.function) == (1, 1, "start")
    assert [(frame.address, frame.function, frame.offset) for frame in finding.call_site.backtrace[:1]] == [
        (0x100000, "start", 0)
    ]


def test_what_kmemu_lacks_is_no_finding(tmp_path: Path) -> None:
    report = check_kernel(code_kernel(tmp_path, kernels.JUMP_INTO_ROM), NOTHING)
    assert report.findings == ()
    assert report.ending.how is How.NOT_EMULATED
    assert (
        ending_text(report.ending)
        == "kmemu does not have code of a BIOS: a jump into its ROM at EIP 0x000f0000"
    )


def test_what_the_host_lacks_is_no_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(*_: object, **__: object) -> None:
        raise HostError("no memory")

    machine = code_kernel(tmp_path, kernels.HALT)
    monkeypatch.setattr(machine, "run", run)
    with pytest.raises(HostError, match=r"^no memory$"):
        check_kernel(machine, NOTHING)


def test_a_full_recording_is_a_budget_not_a_death(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("emulator.run.to_end.EVENTS_MAX", 2)
    report = check_kernel(code_kernel(tmp_path, kernels.UNDEFINED), NOTHING)
    assert kinds_and_messages(report) == []
    assert report.ending.how is How.BUDGET


def test_a_value_other_than_0_is_a_finding(tmp_path: Path) -> None:
    report = check_kernel(code_kernel(tmp_path, kernels.exit_with(3)), NOTHING)
    assert kinds_and_messages(report) == [("kernel-failed", "the kernel exited with value 3")]


def test_a_reset_is_a_finding(tmp_path: Path) -> None:
    report = check_kernel(code_kernel(tmp_path, kernels.RESET), NOTHING)
    assert kinds_and_messages(report) == [("kernel-failed", "the kernel reset the PC at start+0x3")]
    call_site = report.findings[0].call_site
    assert call_site is not None
    assert call_site.backtrace[0].function == "start"
    assert kinds_and_messages(check_kernel(code_kernel(tmp_path, kernels.POWER_OFF), NOTHING)) == []


def test_a_halt_is_an_end(tmp_path: Path) -> None:
    report = check_kernel(code_kernel(tmp_path, kernels.HALT), NOTHING)
    assert kinds_and_messages(report) == []
    text = "the kernel halted at start+0x1 with interrupts off, and 1 recorded call has not returned"
    assert (report.ending.how, ending_text(report.ending)) == (How.HALTED, text)


@pytest.mark.parametrize("walk_every", [0, 1])
def test_a_used_up_budget_is_no_finding(walk_every: int, tmp_path: Path) -> None:
    budget = Budget(max_instructions=1000)
    report = check_kernel(code_kernel(tmp_path, kernels.LOOP), NOTHING, budget, walk_every=walk_every)
    assert kinds_and_messages(report) == []
    assert report.ending.how is How.BUDGET


def test_a_budget_counts_over_all_audits() -> None:
    whole, audited = (check("demo", Budget(max_instructions=20_000), walk_every=each) for each in (0, 1))
    assert whole.ending.how is audited.ending.how is How.BUDGET
    assert whole.events == audited.events > 0


def test_what_is_known_before_the_end_is_reported_when_a_budget_ends_the_run() -> None:
    everything = check("double_free")
    instructions = boot("firmware:double_free").run(max_instructions=1 << 40).instructions
    report = check("double_free", Budget(max_instructions=instructions // 2))
    assert report.ending.how is How.BUDGET
    assert 0 < len(report.findings) < len(everything.findings)
    assert report.findings[0] == everything.findings[0]


def test_a_divergence_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel_model.litecore.heap.Heap.kmalloc", lambda _heap, _size: 0x123456)
    machine = boot("firmware:leak", layers={"heap": Mode.LOCKSTEP})
    report = check_kernel(machine, matching_profile(machine.image))
    finding = report.findings[-1]
    assert finding.kind is Kind.DIVERGENCE
    assert finding.message.startswith("lockstep divergence in kmalloc(0x00000200), called from load_config+")
    assert report.ending.how is How.DIVERGED
    assert finding.details


def test_the_recording_leaves_no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    check("overflow")
    assert list(tmp_path.iterdir()) == []


def test_who_takes_part_gets_the_recording_before_the_run() -> None:
    events: list[int] = []
    machine = boot("firmware:overflow")

    def start(recording: Recording) -> None:
        events.append(recording.event_count)

    check_kernel(machine, matching_profile(machine.image), on_start=start)
    assert events == [0]


def overflown() -> Machine:
    return boot("firmware:bad_overflow")


def test_what_breaks_on_the_way_is_reported_once_with_its_faulting_write() -> None:
    profile = matching_profile(overflown().image)
    (finding,) = check_kernel(overflown(), profile, new_machine=overflown, walk_every=1).findings
    assert finding.faulting_write is not None
    assert finding.faulting_write.backtrace[0].function == "copy_name"
    (finding,) = check_kernel(overflown(), profile, walk_every=1).findings
    assert (finding.kind, finding.faulting_write) == (Kind.CORRUPTION, None)
    assert finding.call_site is not None


def test_nothing_is_audited_in_an_unknown_kernel(tmp_path: Path) -> None:
    audits = RunAudits(boot("firmware:leak"), None)
    audits.audit()
    assert audits.findings(TraceBuilder().trace(tmp_path / "a.kmt"), None) == []


def test_the_built_in_kernel_is_found() -> None:
    assert LITECORE.name == matching_profile(KernelImage.read(resolve("firmware:leak"))).name
