"""Back and forth in a run of 2.5 G instructions, and under watch, against running the kernel once: that is what replay costs elsewhere."""

from __future__ import annotations

import random
import statistics
import time
from typing import TYPE_CHECKING

from in_process import machine_of
from measure import Row, at_most, least, seconds_of

from emulator import debug

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.debug import Debugger

STRESS, TASKS = "stress", "btron_stress"
WORD = "idt"  # written once, at the start, in a page of words that change all the time
WHO_S, CHECKED_WHO_S, GO_S, STEP_S = 1.0, 1.5, 0.3, 0.01
JUMPS, STEPS, SEED = 40, 50, 1
WATCHED, WRITES = 26, 10  # bytes of WORD, and how often any is written
WATCH_TARGET, RUNS = 1.2, 3
CHECKED = {False: "", True: ", checked", "uninitialised": ", checked for uninitialised uses"}


def at_end(kernel: str = STRESS, *, sanitize: bool | str = False) -> Debugger:
    """Return a debugger whose run has ended once."""
    debugger = debug.debugger(f"firmware:{kernel}", sanitize=sanitize)
    with debugger.only():
        debugger.run()
    return debugger


def row(name: str, what: str, seconds: float, limit: float, text: str, kernel: str = STRESS) -> Row:
    """Compare with a run."""
    run_s = seconds_of(machine_of(kernel).run)
    return Row(
        name,
        what,
        f"{seconds * 1e3:.3g} ms",
        f"one run {run_s:.2f} s",
        seconds / run_s,
        at_most(seconds, limit, text),
    )


def timed(action: Callable[[], object]) -> float:
    """Return how long something takes, in CPU time: other processes do not count."""
    started = time.process_time()
    action()
    return time.process_time() - started


def who() -> Row:
    """Who wrote a word last that was written once, long ago."""
    return _who("who", STRESS)


def who_tasks() -> Row:
    """The same in a kernel with paging and tasks."""
    return _who("who-btron", TASKS)


def who_sanitized() -> Row:
    """The first one with checked accesses."""
    return _who("who-sanitized", STRESS, sanitize=True)


def who_uninitialised() -> Row:
    """And with checked uses of what was never written."""
    return _who("who-uninitialised", STRESS, sanitize="uninitialised")


def who_tasks_sanitized() -> Row:
    """Checked accesses in a kernel with paging and tasks."""
    return _who("who-btron-sanitized", TASKS, sanitize=True)


def _who(name: str, kernel: str, *, sanitize: bool | str = False) -> Row:
    debugger = at_end(kernel, sanitize=sanitize)
    address = debugger.image.physical(debugger.image.symbols[WORD].address)
    seconds = statistics.median(timed(lambda: debugger.who(address, physical=True)) for _ in range(RUNS))
    what = f"who wrote a word last, at the end of {kernel}{CHECKED[sanitize]}"
    limit = CHECKED_WHO_S if sanitize else WHO_S
    return row(name, what, seconds, limit, f"<= {limit:g} s", kernel)


def go_to() -> Row:
    """To events anywhere in the run: the slowest of many."""
    return _go_to("go-to", STRESS)


def go_to_tasks() -> Row:
    """The same in a kernel with paging and tasks."""
    return _go_to("go-to-btron", TASKS)


def go_to_sanitized() -> Row:
    """The first one with checked accesses."""
    return _go_to("go-to-sanitized", STRESS, sanitize=True)


def go_to_uninitialised() -> Row:
    """And with checked uses of what was never written."""
    return _go_to("go-to-uninitialised", STRESS, sanitize="uninitialised")


def go_to_tasks_sanitized() -> Row:
    """Checked accesses in a kernel with paging and tasks."""
    return _go_to("go-to-btron-sanitized", TASKS, sanitize=True)


def _go_to(name: str, kernel: str, *, sanitize: bool | str = False) -> Row:
    debugger = at_end(kernel, sanitize=sanitize)
    chosen, last = random.Random(SEED), debugger.event  # noqa: S311 - no secret
    events = [chosen.randrange(1, last) for _ in range(JUMPS)]
    seconds = max(timed(lambda event=event: debugger.go_to_event(event)) for event in events)  # type: ignore[misc]
    what = f"the slowest way to one of {JUMPS} events of {kernel}{CHECKED[sanitize]}"
    return row(name, what, seconds, GO_S, "<= 0.3 s", kernel)


def step_back() -> Row:
    """Steps back by an instruction, far from the start."""
    debugger = at_end()
    debugger.go_to(debugger.moment.instructions // 2)
    debugger.step_back()

    def steps() -> None:
        for _ in range(STEPS):
            debugger.step_back()

    return row(
        "step-back", "an instruction back, in the middle of stress", timed(steps) / STEPS, STEP_S, "<= 10 ms"
    )


def watch() -> Row:
    """A run that stops at each of the few writes to some bytes of a busy page."""
    return _watched("watch", "10 writes stop the run of stress", checked=False)


def watch_sanitized() -> Row:
    """The same with checked accesses."""
    return _watched("watch-sanitized", "10 writes stop the run of stress, checked", checked=True)


def _watched(name: str, what: str, *, checked: bool) -> Row:
    def run(size: int) -> float:
        with debug.debugger(f"firmware:{STRESS}", sanitize=checked) as debugger:
            if size:
                debugger.watch(debugger.image.symbols[WORD].address, size)
            return timed(lambda: stops(debugger, WRITES if size else 0))

    watched, plain = least(RUNS, lambda: run(WATCHED), lambda: run(0))
    ratio = watched / plain
    return Row(
        name,
        what,
        f"{watched:.2f} s",
        f"not watched {plain:.2f} s",
        ratio,
        at_most(ratio, WATCH_TARGET, f"<= {WATCH_TARGET} x"),
    )


def stops(debugger: Debugger, count: int) -> None:
    """Run to the end."""
    found = 0
    while debugger.run().kind is not debug.StopKind.ENDED:
        found += 1
    assert found == count, found  # noqa: S101 - else something else is measured
