"""Write a campaign of fault injection as a table: what became of the kernel when each of its allocations failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.inject.campaign import Reaction, brief_ending
from emulator.report.text.calls import argument_texts
from emulator.report.text.frames import backtrace_text
from emulator.report.text.style import BOLD, GREEN, RED
from emulator.wording import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from emulator.inject.campaign import Campaign, Trial
    from emulator.profile.functions import TracedFunction
    from emulator.profile.model import Profile
    from emulator.report.text.style import Style

_WORST_FIRST = (
    Reaction.DIES,
    Reaction.HANGS,
    Reaction.ACCESSES_NULL,
    Reaction.UNKNOWN,
    Reaction.REPORTS,
    Reaction.SURVIVES,
)
_COLOURS = {
    Reaction.DIES: RED,
    Reaction.HANGS: RED,
    Reaction.ACCESSES_NULL: RED,
    Reaction.UNKNOWN: "35",
    Reaction.REPORTS: "33",
    Reaction.SURVIVES: GREEN,
}
_PAST = {
    Reaction.DIES: "died",
    Reaction.HANGS: "hung",
    Reaction.ACCESSES_NULL: "accessed null",
    Reaction.UNKNOWN: "not known",
    Reaction.REPORTS: "reported it",
    Reaction.SURVIVES: "survived",
}
_EXPLAINED = (Reaction.DIES, Reaction.HANGS, Reaction.ACCESSES_NULL, Reaction.UNKNOWN)


def campaign_lines(campaign: Campaign, profile: Profile, kernel: str, style: Style) -> Iterator[str]:
    """Yield a line that counts, and the table: the worst first, failures of the same call with the same end together.

    Args:
        campaign: The campaign.
        profile: What was recorded.
        kernel: As the user named it.
        style: What the output can show.
    """
    good = campaign.good
    yield from style.folded(f"{printable(kernel)}: {_counted(campaign)}")
    yield f"without a failure: {brief_ending(good)} after {good.instructions} instructions"
    if not campaign.trials:
        return
    functions = {each.name: each for each in profile.functions}
    rows = _alike(campaign)
    calls = [_call(row, functions[row[0].call.call_site.function]) for row in rows]
    end = max(len("verdict"), *(len(_end(row[0])) for row in rows))
    call = max(len("call"), *map(len, calls))
    yield ""
    yield style.paint(f"{'count':>5}  {'verdict':<{end}}  {'call':<{call}}  called from", BOLD)
    for row, text in zip(rows, calls, strict=True):
        first = row[0]
        painted = style.paint(f"{_end(first):<{end}}", _COLOURS[first.reaction])
        where = backtrace_text(first.call.call_site.backtrace)
        yield f"{len(row):>5}  {painted}  {text:<{call}}  {style.cut(where, 11 + end + call)}"
        if first.reaction in _EXPLAINED:
            yield from style.folded(" " * 9 + _death(first), indent=11)


def _counted(campaign: Campaign) -> str:
    done, all_of_them = len(campaign.trials), campaign.allocations
    part, spread = ("", "") if done == all_of_them else (f"{done} of ", ", evenly spread")
    counts = [(campaign.number_of(reaction), _PAST[reaction]) for reaction in reversed(_WORST_FIRST)]
    text = ", ".join(f"{count} {verb}" for count, verb in counts if count)
    return f"{part}{counted(all_of_them, 'allocation')} made to fail, one in each run{spread}" + (
        f": {text}" if text else ""
    )


def _alike(campaign: Campaign) -> list[list[Trial]]:
    """Return the failures of one function with one backtrace and the same end together, the worst first."""
    rows: dict[tuple[object, ...], list[Trial]] = {}
    for trial in campaign.trials:
        call_site = trial.call.call_site
        end = trial.reaction, trial.ending, trial.null_access
        rows.setdefault((*end, call_site.function, call_site.backtrace), []).append(trial)
    return sorted(
        rows.values(), key=lambda trials: (_WORST_FIRST.index(trials[0].reaction), trials[0].number)
    )


def _end(trial: Trial) -> str:
    """Return the verdict, with what a kernel said that noticed."""
    return f"reports ({trial.ending})" if trial.reaction is Reaction.REPORTS else trial.reaction.value


def _call(trials: Sequence[Trial], function: TracedFunction) -> str:
    """Return the function with its arguments; those that differ as a range."""
    arguments = list(zip(*(trial.call.arguments for trial in trials), strict=True))
    least, most = (argument_texts(function, list(map(pick, arguments)), None) for pick in (min, max))
    texts = (low if low == high else f"{low}..{high}" for low, high in zip(least, most, strict=True))
    return f"{printable(function.name)}({', '.join(texts)})"


def _death(trial: Trial) -> str:
    where = f" at {printable(trial.location)}" if trial.location else ""
    ending, null_access = f"{printable(trial.ending)}{where}", printable(trial.null_access)
    if trial.reaction is Reaction.ACCESSES_NULL:
        return f"allocation {trial.number}: {null_access}; then {ending}"
    return f"allocation {trial.number}: {ending}" + (f"; before that {null_access}" if null_access else "")
