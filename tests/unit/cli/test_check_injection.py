"""The options that make allocations fail."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

import pytest

from emulator.check.exhaust import Exhaustion, FailurePoint, GoodRun, Verdict
from emulator.check.findings import Place
from emulator.check.injection import FailedCall, Injection
from emulator.cli.check_injection import (
    add_injection_arguments,
    chosen_injection,
    complaint_about,
    run_exhaust,
)
from emulator.cli.machine_options import add_budgets, add_machine, new_machine
from emulator.cli.status import CommandLineError, Status
from emulator.errors import BudgetUsedUp
from emulator.loader.known_profiles import matching_profile
from emulator.loader.profile import Profile, Result, Role, TracedFunction
from emulator.machine.machine import Ending


def options_of(*words: str) -> Namespace:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("kernel")
    parser.add_argument("--json", action="store_true")
    add_injection_arguments(parser)
    add_machine(parser)
    add_budgets(parser)
    return parser.parse_args(words)


def exhausted(*words: str) -> Status:
    options = options_of(*words, "--exhaust")
    return run_exhaust(options, matching_profile(new_machine(options, None).image))


@pytest.mark.parametrize(
    ("words", "injection"),
    [
        ((), None),
        (("--fail-nth", "3"), Injection(nth=3)),
        (("--fail-every", "2"), Injection(every=2)),
        (("--fail-at", "load_*"), Injection(caller="load_*")),
        (("--exhaust",), None),
    ],
)
def test_what_fails(words: tuple[str, ...], injection: Injection | None) -> None:
    assert chosen_injection(options_of("k.elf", *words)) == injection


@pytest.mark.parametrize("option", ["limit", "jobs"])
def test_options_of_exhaust_need_it(option: str) -> None:
    with pytest.raises(CommandLineError, match=rf"^--{option} needs --exhaust$"):
        chosen_injection(options_of("k.elf", f"--{option}", "3"))


def test_nothing_that_failed_is_no_success() -> None:
    failed: tuple[FailedCall, ...] = ()
    assert complaint_about(Injection(nth=30), failed, 26) == (
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
    assert exhausted("firmware:leak") is Status.GOOD
    assert ": 27 survived, 11 reported it\n" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    status = exhausted("firmware:fragile", "--json", "--limit", "5", "--jobs", "2")
    assert status is Status.FINDINGS
    document = json.loads(capsys.readouterr().out)
    assert [failure["allocation"] for failure in document["failures"]] == [1, 7, 13, 19, 26]


@pytest.mark.parametrize(
    ("verdicts", "status", "complaint"),
    [
        ([Verdict.SURVIVES, Verdict.LOST], Status.NOT_RUN, "a failure could not be tried"),
        ([Verdict.LOST, Verdict.DIES, Verdict.LOST], Status.FINDINGS, "2 failures could not be tried"),
    ],
)
def test_a_failure_that_kills_a_worker_is_no_verdict_about_the_kernel(
    verdicts: list[Verdict],
    status: Status,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = FailedCall(Place(1, 1, "kmalloc", ()), (8,), 0)
    points = (FailurePoint(number, call, verdict, "ended", "") for number, verdict in enumerate(verdicts, 1))
    result = Exhaustion(GoodRun(Ending.EXIT, 0, None, 5000, len(verdicts)), tuple(points))
    monkeypatch.setattr("emulator.check.workers.exhaust", lambda *_, **__: result)
    assert exhausted("firmware:fragile") is status
    assert capsys.readouterr().err == f"kmemu: {complaint}: kmemu's own process died of it\n"


def test_a_limit_of_one_is_refused() -> None:
    with pytest.raises(CommandLineError, match=r"^--limit is 2 or more$"):
        exhausted("firmware:fragile", "--limit", "1")


def test_the_budget_is_that_of_the_run_without_a_failure() -> None:
    with pytest.raises(BudgetUsedUp, match=r"^budget of 100 instructions used up "):
        exhausted("firmware:fragile", "--max-instructions", "100")


def test_a_kernel_that_allocates_nothing_was_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    profile = Profile(
        "mine", (TracedFunction("memmap_has_run", "x", Role.ALLOC, ("size",), Result.POINTER, 0),)
    )
    assert run_exhaust(options_of("firmware:fragile", "--exhaust"), profile) is Status.NOT_RUN
    assert capsys.readouterr().err == "kmemu: nothing was tried: no call of memmap_has_run was seen\n"
