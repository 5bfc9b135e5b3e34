"""``kmemu check``: run a kernel and find what it does wrong with its memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from emulator.cli import option_values
from emulator.cli.commands.check_injection import (
    add_injection_arguments,
    chosen_policy,
    complaint_about,
    run_exhaust,
)
from emulator.cli.commands.check_output import (
    JSON,
    add_output_arguments,
    baseline_of_options,
    check_output_files,
    check_output_options,
    limits_of,
    update_baseline,
    write_outputs,
)
from emulator.cli.machine_options import (
    UNINITIALISED,
    add_console,
    add_kernel,
    add_machine,
    add_profile,
    add_sanitize,
    add_until,
    check_halt_on_error,
    chosen_profile,
    new_machine,
    run_budget,
)
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.console import ErrorConsole
from emulator.cli.terminal.output import Output, complain
from emulator.cli.terminal.progress import activity
from emulator.errors import BadFile

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator, Sequence

    from emulator.check.check_report import CheckReport
    from emulator.check.findings import Finding
    from emulator.inject.policy import FailedCall, InjectionPolicy
    from emulator.machine.machine import Machine
    from emulator.profile.model import Profile
    from emulator.profile.suppressions import Suppression
    from emulator.report.text.style import Style
    from emulator.verdict.baseline import Baseline
    from emulator.verdict.limits import Limits
    from emulator.verdict.verdict import Verdict

USAGE = "kmemu check [KERNEL.elf | firmware:NAME] [options]"
DESCRIPTION = """\
Runs a kernel and finds what it does wrong with its memory: double and wrong
frees, overlapping blocks, leaks, heap damage. Each finding has call stacks."""
EPILOG = """\
examples:
  kmemu check firmware:double_free
  kmemu check kernel.elf --profile kernel.toml   a kernel of yours
  kmemu check firmware:demo --ignore show_refusals
  kmemu check kernel.elf --suppressions known.supp   what is known already
  kmemu check kernel.elf --sanitize              each access is checked
  kmemu check kernel.elf --sanitize=uninitialised    and what nobody wrote
  kmemu check kernel.elf --walk-every 100        look at the heap on the way
  kmemu check kernel.elf --baseline base.json --max-leaked 0
  kmemu check kernel.elf --format sarif=check.sarif --format github
  kmemu check kernel.elf --fail-nth 3            the third allocation fails
  kmemu check firmware:fragile --exhaust         each of them fails once

exit status:
  0 nothing found, 1 findings, 2 the command line was wrong,
  3 the kernel could not be run, or nothing was checked, 4 budget used up
"""
_LEAKS = ("lost", "all", "none")
_MOST_INSTRUCTIONS = 10**10


class _Checked(NamedTuple):
    """What a check has made.

    Attributes:
        report: Its report.
        failed: The calls that were made to fail.
        complaint: Why the check says nothing, although it ended; "": it does.
    """

    report: CheckReport
    failed: tuple[FailedCall, ...] = ()
    complaint: str = ""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add_kernel(parser)
    add_profile(parser)
    looked_for = parser.add_argument_group("what to look for")
    add_sanitize(looked_for)
    what = looked_for.add_argument
    what(
        "--walk-every",
        metavar="N",
        type=option_values.count,
        default=0,
        help="look at the kernel's own structures every N calls (default: at the end)",
    )
    what(
        "--leaks",
        choices=_LEAKS,
        help="live blocks at the end that are findings: those nobody points to, all, or none (default: lost)",
    )
    what(
        "--ignore",
        metavar="GLOB",
        action="append",
        default=[],
        help="leave out findings below these functions (repeatable)",
    )
    what(
        "--suppressions",
        metavar="FILE",
        help="leave out findings by kind, function and file: a line such as use-after-free:old_driver_* for each",
    )
    add_injection_arguments(parser)
    add_output_arguments(parser)
    output = parser.add_argument_group("output")
    add_console(output)
    output.add_argument("--json", action="store_true", help="the same as --format json")
    add_machine(parser)
    add_until(parser)
    parser.set_defaults(max_instructions=_MOST_INSTRUCTIONS)


def run(options: Namespace) -> Status:
    """Run the command."""
    if options.json:
        options.formats.append(JSON)
    check_output_options(options)
    check_halt_on_error(options)
    policy = chosen_policy(options)
    limits, baseline = limits_of(options), baseline_of_options(options)
    suppressions = _suppressions_of_file(options)
    check_output_files(options)

    console = ErrorConsole(raw=options.raw) if options.console else None
    machine = new_machine(options, console)
    profile = chosen_profile(machine.image, options.profile)
    _check_areas(limits, profile)
    suppressions += _suppressions_of_profile(profile)
    if options.exhaust:
        return run_exhaust(options, profile)
    halts_at = _halts_at(options, suppressions, baseline) if options.halt_on_error else None
    checked = _check(machine, profile, options, policy, halts_at)
    if console is not None:
        console.end()
    return _conclude(checked, profile, suppressions, options, limits, baseline)


def _suppressions_of_file(options: Namespace) -> tuple[Suppression, ...]:
    if options.suppressions is None:
        return ()
    from emulator.verdict.suppressions import read_suppressions  # few runs need it

    try:
        return read_suppressions(options.suppressions)
    except BadFile as error:
        raise CommandLineError(f"--suppressions {error}") from None


def _suppressions_of_profile(profile: Profile) -> tuple[Suppression, ...]:
    if not profile.suppressions:
        return ()
    from emulator.verdict.suppressions import checked_suppression  # few runs need it

    try:
        return tuple(map(checked_suppression, profile.suppressions))
    except ValueError as error:
        raise CommandLineError(f"suppressions of profile {profile.name}: {error}") from None


def _halts_at(
    options: Namespace, suppressions: Sequence[Suppression], baseline: Baseline | None
) -> Callable[[Finding], bool]:
    """Return what says whether a finding ends the run: one that is not left out, and not known."""
    from emulator.verdict.suppressions import suppression_of
    from emulator.verdict.verdict import is_ignored

    known = frozenset(() if baseline is None or options.update_baseline else baseline.findings)

    def counts(finding: Finding) -> bool:
        left_out = is_ignored(finding, options.ignore) or suppression_of(finding, suppressions) is not None
        return not left_out and finding.id not in known

    return counts


def _conclude(
    checked: _Checked,
    profile: Profile,
    suppressions: Sequence[Suppression],
    options: Namespace,
    limits: Limits,
    baseline: Baseline | None,
) -> Status:
    """Judge a report, and write it in all formats."""
    from emulator.verdict.verdict import WhichLeaks, judge, select  # not for --help

    report, ignored = select(
        _without_leaks(checked.report._replace(kernel=options.kernel), options),
        WhichLeaks(options.leaks or "lost"),
        options.ignore,
    )
    if suppressions:
        from emulator.verdict.suppressions import suppress  # few runs need it

        report = suppress(report, suppressions)
    not_whole = _why_no_baseline(report) if options.update_baseline else ""
    if options.update_baseline and not not_whole:
        baseline = update_baseline(options, report, baseline)
    verdict = judge(report, report.checked, limits, baseline)
    status, complaint = _judge(verdict, profile, checked.complaint)
    if not_whole and status is Status.GOOD:
        status = Status.NOT_RUN

    def text(style: Style) -> Iterator[str]:
        from emulator.report.text.findings import (
            difference_lines,
            failed_lines,
            never_called_line,
            report_lines,
        )

        yield from failed_lines(checked.failed)
        yield from report_lines(report, style, ignored)
        if options.profile and report.never_called:
            yield never_called_line(report.never_called)
        yield from difference_lines(verdict.differences, style)

    write_outputs(options, verdict, status, text, Output())
    if complaint:
        complain(complaint)
    if not_whole:
        complain(f"{options.baseline} was not written: {not_whole}")
    return status


def _without_leaks(report: CheckReport, options: Namespace) -> CheckReport:
    """Return a report that does not speak of leaks if that was asked for."""
    if options.leaks != "none":
        return report
    from emulator.check.findings import Kind

    why = {**report.unchecked, Kind.LEAK: "--leaks none"}
    return report._replace(checked=report.checked - {Kind.LEAK}, unchecked=why)


def _check_areas(limits: Limits, profile: Profile) -> None:
    from emulator.errors import UnknownName  # has been imported by now

    try:
        limits.check_areas(profile.areas)
    except UnknownName as error:
        raise CommandLineError(str(error)) from None


def _why_no_baseline(report: CheckReport) -> str:
    """Return why a run cannot be a baseline; "" if it can."""
    if not report.ending.is_whole:
        return "the kernel did not end the run by itself"
    return "" if report.calls else "no call was seen"


def _check(
    machine: Machine,
    profile: Profile,
    options: Namespace,
    policy: InjectionPolicy | None,
    halts_at: Callable[[Finding], bool] | None,
) -> _Checked:
    from emulator.check.checked_run import check_kernel

    with activity("checking", "events") as so_far:
        check = partial(
            check_kernel,
            machine,
            profile,
            run_budget(options),
            walk_every=options.walk_every,
            sanitize=bool(options.sanitize),
            uninitialised=options.sanitize == UNINITIALISED,
            halts_at=halts_at,
            on_progress=so_far,
        )
        if policy is None:
            return _Checked(check(new_machine=lambda: new_machine(options, None)))
        from emulator.inject.policy import FaultInjector  # few runs need it

        made: list[FaultInjector] = []
        report = check(on_start=lambda recording: made.append(FaultInjector(recording, profile, policy)))
    failed = made[0].calls
    return _Checked(report, failed, complaint_about(policy, failed, machine.allocations.count))


def _judge(verdict: Verdict, profile: Profile, complaint: str) -> tuple[Status, str]:  # noqa: PLR0911 - one for each ending
    """Return the exit status, and what to write to standard error. What was not checked is not good."""
    from emulator.report.text.ending import ending_text  # not for --help
    from emulator.run.ending import How

    report = verdict.report
    how = report.ending.how
    if how is How.INTERRUPTED:
        return Status.INTERRUPTED, ending_text(report.ending)
    if report.ending.missed:
        return Status.FINDINGS, f"{report.ending.missed!r} did not appear: {ending_text(report.ending)}"
    if not verdict.is_clean:
        return Status.FINDINGS, complaint
    if how is How.BUDGET:
        return Status.BUDGET, ending_text(report.ending)
    if how is How.NOT_EMULATED:
        return Status.NOT_RUN, ending_text(report.ending)
    if not report.calls:
        names = ", ".join(function.name for function in profile.functions)
        return Status.NOT_RUN, f"nothing was checked: no call of {names} was seen"
    return (Status.NOT_RUN if complaint else Status.GOOD), complaint
