"""Whatever is done with a debugger whose machine checks accesses, it knows there what one knows that went there straight."""

from __future__ import annotations

import tempfile
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from struct import pack
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from emulator.debug import Debugger, Moment, StopKind
from emulator.loader.image import KernelImage
from emulator.replay import travel
from tests.helpers.debuggers import calls_of, checked_state_of, findings_of
from tests.helpers.random_programs import (
    COPY,
    FETCH,
    IN_BLOCK,
    KEEP,
    KINDS,
    SLOTS,
    Kernel,
    Kind,
    Program,
    compiled,
    correct,
    machine_with,
)

if TYPE_CHECKING:
    from tests.helpers.random_programs import Choice

_KINDS: Final = tuple(
    each for each in KINDS if each.name in {"first_fit", "slabs", "pools", "runs", "wrappers", "headers"}
)
_NUMBERS: Final = st.integers(0, 0xFFFF)
_CHOICES: Final = st.lists(st.tuples(_NUMBERS, _NUMBERS, _NUMBERS, _NUMBERS), min_size=5, max_size=60)
_STRAY: Final = SLOTS - 1  # slots that programs are given no blocks in
_OTHER: Final = SLOTS - 2
_START: Final = Moment(0)

Write = tuple[Moment, int, bytes]


@cache
def kernel(kind: Kind) -> Kernel:
    with tempfile.TemporaryDirectory() as folder:
        return compiled(kind, Path(folder), kind.builds[KINDS.index(kind) % len(kind.builds)])


def with_mistakes(kind: Kind, choices: list[Choice]) -> Program:
    """Return a program that goes on, now and then, to use a block that it has given back, or a word that nobody has written."""
    program = correct(kind, [])
    for action, where, x, y in choices:
        block = next((each for each in program.live.values() if each.owners == 1 and each.size >= 8), None)
        if action % 4 or block is None or not kind.give:
            program.choose((action, where % _OTHER, x, y))
            continue
        program.fetch(block)
        program.add(COPY, block.slot, _STRAY, x % (block.size - 4) & ~3)
        if y % 3:
            program.give(block, kind.give(block.taking, x))
        program.add(KEEP if y % 2 else FETCH, _OTHER, IN_BLOCK | _STRAY << 8)
        if y % 5 == 0:  # what was read is an address
            program.add(KEEP, _OTHER, IN_BLOCK | _OTHER << 8)
    return program


def raw_state_of(debugger: Debugger) -> tuple[Any, ...]:
    """Return what checks know, marks of return addresses, too."""
    checked = debugger._checks._checked  # noqa: SLF001 - what the debugger hides
    assert checked is not None
    shadow = checked.shadow(0, len(debugger.machine.memory))
    return shadow, checked.live_blocks(), checked.dead_blocks(), checked.seen().accesses


def debugger_of(kind: Kind, program: Program, *, sanitize: bool | str) -> Debugger:
    image = KernelImage(kernel(kind).data, f"{kind.name}.elf")
    return Debugger(machine_with(image, program), kernel(kind).profile, sanitize=sanitize)


class Sequences(RuleBasedStateMachine):
    """Commands in any order."""

    @initialize(kind=st.sampled_from(_KINDS), choices=_CHOICES)
    def start(self, kind: Kind, choices: list[Choice]) -> None:
        self.kind, self.program = kind, with_mistakes(kind, choices)
        self.writes: list[Write] = []
        self.known: dict[Moment, tuple[object, ...]] = {}
        self.debugger = self.new()
        self.end = self.run_to_the_end(self.debugger)

    def teardown(self) -> None:
        if hasattr(self, "debugger"):
            self.debugger.close()

    def new(self, last: Moment = _START) -> Debugger:
        """Return a debugger that has gone straight to what was written, up to a moment."""
        debugger = debugger_of(self.kind, self.program, sanitize=True)
        for at, address, data in self.writes:
            if at <= last:
                debugger.go_to(at)
                debugger.write_memory(address, data)
        return debugger

    def straight(self, moment: Moment) -> tuple[object, ...]:
        """Return what is known at a moment where nobody has turned around."""
        if moment not in self.known:
            with self.new(moment) as other:
                other.go_to(moment)
                self.known[moment] = checked_state_of(other)
        return self.known[moment]

    def run_to_the_end(self, debugger: Debugger) -> Moment:
        with debugger.only():
            stop = debugger.run()
        assert stop.kind is StopKind.ENDED
        self.events = debugger.event
        return stop.moment

    @rule(share=st.floats(0, 1))
    def go_to(self, share: float) -> None:
        self.debugger.go_to(Moment(int(share * self.end.instructions)))

    @rule(share=st.floats(0, 1))
    def go_to_event(self, share: float) -> None:
        with self.debugger.only():
            self.debugger.go_to_event(1 + int(share * self.events))

    @rule()
    def go_to_the_end(self) -> None:
        self.debugger.go_to(self.end)

    @rule()
    def run(self) -> None:
        here = self.debugger.moment
        stop = self.debugger.run()
        assert stop.kind in (StopKind.FINDING, StopKind.ENDED)
        assert stop.moment > here or here.at_end

    @rule()
    def back(self) -> None:
        assert self.debugger.back().kind in (StopKind.FINDING, StopKind.START)

    @rule(count=st.integers(1, 3000))
    def step_back(self, count: int) -> None:
        self.debugger.step_back(count)

    @precondition(lambda self: not self.debugger.moment.at_end)
    @rule(count=st.integers(1, 50))
    def step(self, count: int) -> None:
        with self.debugger.only():
            self.debugger.step(count)

    @rule(slot=st.integers(0, SLOTS - 1))
    def who(self, slot: int) -> None:
        self.debugger.who(self.debugger.image.symbols["slots"].address + 4 * slot)

    @precondition(lambda self: not self.debugger.moment.at_end and self.program.operations)
    @rule(number=st.integers(0, 100), like=st.integers(0, 100), slot=st.integers(0, SLOTS - 1))
    def write(self, number: int, like: int, slot: int) -> None:
        """Let an operation be as another one, of any slot."""
        operations, here = self.program.operations, self.debugger.moment
        number %= len(operations)
        data = pack("<2I", operations[like % len(operations)][0], slot)
        address = self.debugger.image.symbols["program"].address + 16 * number
        self.debugger.write_memory(address, data)
        self.writes = [*(each for each in self.writes if each[0] <= here), (here, address, data)]
        self.known = {}
        with self.new(here) as other:
            self.end = self.run_to_the_end(other)

    @rule()
    def report(self) -> None:
        """Say what the bad accesses and the calls so far are, without going through the run again."""
        here, kept = self.debugger.moment, self.debugger.checkpoints
        found = findings_of(self.debugger)
        calls = calls_of(self.debugger)
        assert (self.debugger.moment, self.debugger.checkpoints) == (here, kept)
        with self.new(here) as other:
            other.go_to(here)
            expected = findings_of(other)
            assert calls == calls_of(other)
        assert found[: len(expected)] == expected
        assert len(found) <= len(expected) + 1  # the one that it stands in front of

    @invariant()
    def knows_the_same(self) -> None:
        if hasattr(self, "debugger"):
            expected = self.straight(self.debugger.moment)
            for mine, straight in zip(checked_state_of(self.debugger), expected, strict=True):
                assert mine == straight


@pytest.fixture(autouse=True)
def _many_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, instructions in (("_FIRST", 700), ("_NEAR", 50), ("_FAR", 200), ("CHECKPOINTS_MAX", 7)):
        monkeypatch.setattr(travel, name, instructions)


def test_any_sequence_of_commands() -> None:
    run_state_machine_as_test(
        Sequences,
        settings=settings(
            max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("sanitize", [True, "uninitialised"])
@pytest.mark.parametrize("kind", _KINDS, ids=[each.name for each in _KINDS])
def test_checkpoints_are_what_they_were(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, sanitize: bool | str
) -> None:
    """To the byte, where what is kept of registers and single bits depends on where one has stopped."""
    for name, value in (("_FIRST", 1 << 40), ("CHECKPOINTS_MAX", 60)):
        monkeypatch.setattr(travel, name, value)
    random = Random(kind.name)
    numbers = iter(lambda: random.randrange(0x10000), None)
    choices = list(islice(zip(numbers, numbers, numbers, numbers, strict=False), 60))
    with debugger_of(kind, with_mistakes(kind, choices), sanitize=sanitize) as d, d.only():
        end = d.run().moment
        d.go_to(0)
        places = [*(Moment(end.instructions * each // 12) for each in range(1, 12)), end]
        states = {}
        for each in places:
            d.go_to(each)
            d._travel.keep()  # noqa: SLF001 - what the debugger hides
            states[each] = raw_state_of(d)
        assert states[end][-1], "there is no bad access"
        for number in range(40):
            at = random.randrange(11)
            d.go_to(places[at])
            assert raw_state_of(d) == states[places[at]]
            if number % 3 == 0:  # execute the way
                d._travel.pass_to(places[at + 1])  # noqa: SLF001 - the same
                assert raw_state_of(d) == states[places[at + 1]]
            elif number % 3 == 1:
                d.step(random.randrange(1, 400))
