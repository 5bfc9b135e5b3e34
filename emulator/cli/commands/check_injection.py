"""Fault injection in ``kmemu check``: the options that make allocations fail, and ``--exhaust``."""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from typing import TYPE_CHECKING

from emulator.cli import option_values
from emulator.cli.machine_options import new_machine, run_budget
from emulator.cli.status import CommandLineError, Status
from emulator.cli.terminal.output import Output, complain
from emulator.cli.terminal.progress import steps

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from emulator.inject.campaign import Campaign
    from emulator.inject.policy import FailedCall, InjectionPolicy
    from emulator.profile.model import Profile

_MOST = 2000
_HINT = "give it more with --timeout or --max-instructions, or let the kernel halt or exit"
_NOT_WITH_EXHAUST = (  # for one run, which has findings
    "walk_every",
    "sanitize",
    "halt_on_error",
    "leaks",
    "ignore",
    "suppressions",
    "baseline",
    "max_heap",
    "max_leaked",
    "max_fragmentation",
    "console",
)
_OF_A_MACHINE = (
    "kernel",
    "ram",
    "layer",
    "cmdline",
    "module",
    "disk",
    "load",
    "entry",
    "boot",
    "symbols",
    "input",
    "keys",
    "rtc",
    "mmu",
)


def add_injection_arguments(parser: ArgumentParser) -> None:
    """Add the options that make allocations fail."""
    group = parser.add_argument_group("allocations that fail", "although there is memory")
    one = group.add_mutually_exclusive_group().add_argument
    one("--fail-nth", metavar="N", type=option_values.count, help="the N-th allocation of the run fails")
    one("--fail-every", metavar="N", type=option_values.count, help="every N-th allocation fails")
    one("--fail-at", metavar="GLOB", help="all allocations below these functions fail")
    one("--exhaust", action="store_true", help="each allocation fails once, in a run of its own")
    group.add_argument(
        "--limit",
        metavar="N",
        type=option_values.count,
        help=f"with --exhaust: at most so many runs, evenly spread (default: {_MOST})",
    )
    group.add_argument(
        "--jobs",
        metavar="N",
        type=option_values.count,
        help="with --exhaust: processes (default: one for each CPU)",
    )


def chosen_policy(options: Namespace) -> InjectionPolicy | None:
    """Return which allocations fail in the run that is checked; None: none.

    Raises:
        CommandLineError: An option of ``--exhaust`` is given without it, or one for a single run with it.
    """
    if options.exhaust:
        _check_exhaust(options)
        return None
    for name in ("limit", "jobs"):
        if getattr(options, name) is not None:
            raise CommandLineError(f"--{name} needs --exhaust")
    if options.fail_nth is None and options.fail_every is None and options.fail_at is None:
        return None
    from emulator.inject.policy import InjectionPolicy  # few runs need it

    return InjectionPolicy(options.fail_nth, options.fail_every, options.fail_at)


def _check_exhaust(options: Namespace) -> None:
    for name in _NOT_WITH_EXHAUST:
        if getattr(options, name):
            raise CommandLineError(f"--{name.replace('_', '-')} does not go with --exhaust")
    for form, path in options.formats:
        if path != "-" or form not in ("text", "json"):
            raise CommandLineError(f"--exhaust prints text or json, it does not write --format {form}")


def complaint_about(policy: InjectionPolicy, failed: tuple[FailedCall, ...], allocations: int) -> str:
    """Return what to write to standard error when nothing was made to fail, for then nothing was tried; "" else."""
    if failed:
        return ""
    return f"nothing failed: the run has no {policy}, of {allocations} that could fail"


def run_exhaust(options: Namespace, profile: Profile) -> Status:
    """Run the campaign of ``--exhaust``, and show what becomes of the kernel each time.

    Args:
        options: The options of the command: the machine, its budgets, ``limit``, ``jobs`` and ``formats``.
        profile: The profile to record.

    Raises:
        CommandLineError: The limit is too small.
        EmulatorError: The run without a failure ends badly.
    """
    from emulator.errors import NoEnd  # not for --help

    try:
        campaign = _run_campaign(options, profile)
    except NoEnd as error:
        complain(f"--exhaust tried nothing: {error}; {_HINT}")
        return Status.BUDGET
    output = Output()
    from emulator.inject.campaign import Reaction
    from emulator.report.documents.campaign import campaign_document
    from emulator.report.text.campaign import campaign_lines

    if any(each.name == "json" for each in options.formats):
        output.json(campaign_document(campaign, options.kernel, profile.name))
    else:
        output.lines(campaign_lines(campaign, profile, options.kernel, output.style))
    if not campaign.trials:
        names = ", ".join(each.name for each in profile.functions if each.failure_result is not None)
        complain(f"nothing was tried: no call of {names or 'a function that can fail'} was seen")
        return Status.NOT_RUN
    unknown = campaign.number_of(Reaction.UNKNOWN)
    if unknown:
        complain(f"what becomes of the kernel is not known for {unknown} of the failures")
    if campaign.is_bad:
        return Status.FINDINGS
    return Status.NOT_RUN if unknown else Status.GOOD


def _run_campaign(options: Namespace, profile: Profile) -> Campaign:
    from emulator.inject.workers import run_campaign
    from emulator.replay.engine import Rerun  # not for --help

    limit = _MOST if options.limit is None else options.limit
    if limit < 2:  # noqa: PLR2004 - the first and the last
        raise CommandLineError("--limit is 2 or more")
    machine = Namespace(**{name: getattr(options, name) for name in _OF_A_MACHINE})
    with steps("failing") as (on_start, on_trial):
        return run_campaign(
            Rerun(partial(new_machine, machine, None), profile),
            budget=run_budget(options),
            limit=limit,
            workers=options.jobs,
            on_start=on_start,
            on_trial=on_trial,
        )
