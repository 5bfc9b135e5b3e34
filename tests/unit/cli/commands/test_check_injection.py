"""The options that make allocations fail."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import TYPE_CHECKING

import pytest

from emulator.check.findings import CallSite
from emulator.cli.commands.check import add_arguments
from emulator.cli.commands.check_injection import (
    chosen_policy,
    complaint_about,
    run_exhaust,
)
from emulator.cli.machine_options import new_machine
from emulator.cli.status import CommandLineError, Status
from emulator.inject.campaign import Campaign, Reaction, Trial
from emulator.inject.policy import FailedCall, InjectionPolicy
from emulator.profile.functions import Result, Role, TracedFunction
from emulator.profile.known import matching_profile
from emulator.profile.model import Profile
from emulator.run.ending import Ending, How
from tests.unit.cli import kernels

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Done


def options_of(*words: str) -> Namespace:
    parser = ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    return parser.parse_args(words)


def exhausted(*words: str) -> Status:
    options = options_of(*words, "--exhaust")
    return run_exhaust(options, matching_profile(new_machine(options, None).image))


@pytest.mark.parametrize(
    ("words", "injection"),
    [
        ((), None),
        (("--fail-nth", "3"), InjectionPolicy(nth=3)),
        (("--fail-every", "2"), InjectionPolicy(every=2)),
        (("--fail-at", "load_*"), InjectionPolicy(caller="load_*")),
        (("--exhaust",), None),
    ],
)
def test_what_fails(words: tuple[str, ...], injection: InjectionPolicy | None) -> None:
    assert chosen_policy(options_of("k.elf", *words)) == injection


@pytest.mark.parametrize("option", ["limit", "jobs"])
def test_options_of_exhaust_need_it(option: str) -> None:
    with pytest.raises(CommandLineError, match=rf"^--{option} needs --exhaust$"):
        chosen_policy(options_of("k.elf", f"--{option}", "3"))


def test_nothing_that_failed_is_no_success() -> None:
    failed: tuple[FailedCall, ...] = ()
    assert complaint_about(InjectionPolicy(nth=30), failed, 26) == (
        "nothing failed: the run has no allocation 30, of 26 that could fail"
    )


def test_a_fragile_kernel_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert exhausted("firmware:fragile") is Status.FINDINGS
    out = capsys.readouterr().out.splitlines()
    assert out[0] == (
        "firmware:fragile: 26 allocations made to fail, one in each run: "
        "13 survived, 1 reported it, 6 hung, 6 died"
    )
    assert len(out) == 12


def test_a_kernel_that_takes_it_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert exhausted("firmware:fragment") is Status.GOOD
    assert ": 4 survived, 67 reported it\n" in capsys.readouterr().out


def test_a_kernel_that_checks_no_result_accesses_null(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a guard it would go on: page zero is memory like any other."""
    assert exhausted("firmware:leak") is Status.FINDINGS
    out = capsys.readouterr().out
    assert out.startswith("firmware:leak: 38 allocations made to fail, one in each run: 38 accessed null\n")
    for function in ("load_config", "open_session", "write_log", "send_reply"):
        assert f"  {function}+" in out
    assert out.count("write to 0x00000000 through a null pointer at memset+") == 7


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = exhausted("firmware:fragile", "--format", "json", "--limit", "5", "--jobs", "2")
    assert status is Status.FINDINGS
    document = json.loads(capsys.readouterr().out)
    assert [failure["allocation"] for failure in document["failures"]] == [1, 7, 13, 19, 26]


@pytest.mark.parametrize(
    ("verdicts", "status", "unknown"),
    [
        ([Reaction.SURVIVES, Reaction.UNKNOWN], Status.NOT_RUN, 1),
        ([Reaction.UNKNOWN, Reaction.DIES, Reaction.UNKNOWN], Status.FINDINGS, 2),
    ],
)
def test_what_is_not_known_is_no_verdict_about_the_kernel(
    verdicts: list[Reaction],
    status: Status,
    unknown: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = FailedCall(CallSite(1, 1, "kmalloc", ()), (8,), 0)
    trials = (Trial(number, call, reaction, "ended", "") for number, reaction in enumerate(verdicts, 1))
    result = Campaign(Ending(How.EXIT, 0, instructions=5000), len(verdicts), tuple(trials))
    monkeypatch.setattr("emulator.inject.workers.run_campaign", lambda *_, **__: result)
    assert exhausted("firmware:fragile") is status
    assert capsys.readouterr().err == (
        f"kmemu: what becomes of the kernel is not known for {unknown} of the failures\n"
    )


def test_a_limit_of_one_is_refused() -> None:
    with pytest.raises(CommandLineError, match=r"^--limit is 2 or more$"):
        exhausted("firmware:fragile", "--limit", "1")


def test_a_kernel_that_does_not_end_is_not_tried_and_why_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert exhausted("firmware:fragile", "--max-instructions", "100") is Status.BUDGET
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "kmemu: --exhaust tried nothing: the run without a failure did not end by itself: "
        "budget of 100 instructions used up after 100 instructions and 0 allocations at "
    )
    assert err.endswith(
        "; give it more with --timeout or --max-instructions, or let the kernel halt or exit\n"
    )


def test_it_says_how_far_such_a_kernel_got(kmemu: Callable[..., Done], tmp_path: Path) -> None:
    path = kernels.write_kernel(tmp_path / "k.elf", b"\x90" + kernels.LOOP)
    (tmp_path / "p.toml").write_text('name = "mine"\n[heap]\nalloc = "start(size)"\n')
    done = kmemu(
        "check", path, "--profile", str(tmp_path / "p.toml"), "--exhaust", "--max-instructions", "1001"
    )
    assert (done.status, done.out) == (4, "")
    assert "used up after 1001 instructions and 1 allocation at start+0x1, EIP " in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baseline=b"], "--baseline does not go with --exhaust"),
        (["--max-heap=1"], "--max-heap does not go with --exhaust"),
        (["--sanitize"], "--sanitize does not go with --exhaust"),
        (["--walk-every=1"], "--walk-every does not go with --exhaust"),
        (["--leaks=lost"], "--leaks does not go with --exhaust"),
        (["--ignore=a"], "--ignore does not go with --exhaust"),
        (["--suppressions=a"], "--suppressions does not go with --exhaust"),
        (["--console"], "--console does not go with --exhaust"),
        (["--format=junit=a"], "--exhaust prints text or json, it does not write --format junit"),
        (["--format=json=a"], "--exhaust prints text or json, it does not write --format json"),
    ],
)
def test_what_exhaust_would_not_do_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(CommandLineError, match=f"^{message}$"):
        chosen_policy(options_of("k.elf", "--exhaust", *words))


def test_a_kernel_that_allocates_nothing_was_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    profile = Profile(
        "mine", (TracedFunction("memmap_has_run", "x", Role.ALLOC, ("size",), Result.POINTER, 0),)
    )
    assert run_exhaust(options_of("firmware:fragile", "--exhaust"), profile) is Status.NOT_RUN
    assert capsys.readouterr().err == "kmemu: nothing was tried: no call of memmap_has_run was seen\n"
