"""Whatever is done with a debugger, it stands where a plain reference stands that runs again from the start each time."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
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
from emulator.machine.core.stops import Instant
from emulator.machine.execution import Returned
from emulator.machine.machine import Machine
from emulator.replay import travel
from tests.helpers.guest import FUNCTION, assemble

GUEST = assemble(
    FUNCTION
    + """
        movl    $table, %ebx
        movl    $40, %ecx
1:      call    work
        movl    (%ebx), %edx
        addl    %ecx, %edx
        movl    %edx, (%ebx)
        incl    %esi
        loop    1b
        exit    0
        function work
        pushl   %ecx
        andl    $3, %ecx
        incl    4(%ebx,%ecx,4)
        popl    %ecx
        ret
        ends    work
        .data
        .balign 4096
        .globl  table
table:  .skip   4096
        .text
"""
)
TABLE = GUEST.symbols["table"].address
WORK = GUEST.symbols["work"].address
CODE = GUEST.entry


class Reference:
    """All positions of a run, each by running from the start and executing one instruction at a time."""

    def __init__(self, edits: list[tuple[int, int, int]]) -> None:
        machine = Machine(GUEST)
        self.states: list[Any] = []
        self.pcs: list[int] = []
        self.words: list[bytes] = []
        self.reached: list[bytes] = []  # the same before what was changed there
        position = 0
        while True:
            self.reached.append(machine.memory.read(TABLE, 64))
            for at, address, value in edits:
                if at == position:
                    machine.memory.write(address, bytes([value]))
            self.states.append((machine.registers(), machine.memory.read(TABLE, 64)))
            self.pcs.append(machine.registers().pc)
            self.words.append(machine.memory.read(TABLE, 64))
            position += 1
            machine.stops.stop_at(Instant(position))
            if machine.run().ending is not Returned.STOP:
                break
        self.last = position - 1  # the last instruction before the end


class Sequences(RuleBasedStateMachine):
    """Commands in any order."""

    @initialize()
    def start(self) -> None:
        self.debugger = Debugger(Machine(GUEST))
        self.edits: list[tuple[int, int, int]] = []
        self.reference = Reference(self.edits)
        self.at = 0
        self.ended = False
        self.breakpoints: dict[Any, int] = {}
        self.watched: dict[Any, int] = {}

    def teardown(self) -> None:
        self.debugger.close()

    def stops_at(self, position: int) -> bool:
        """Whether a run stops in front of an instruction: there is a breakpoint, or the one before has changed watched bytes by a store."""
        if position > self.reference.last:
            return False
        if self.reference.pcs[position] in self.breakpoints.values():
            return True
        if not position:
            return False
        before, after = self.reference.words[position - 1], self.reference.reached[position]
        return any(before[at : at + 4] != after[at : at + 4] for at in self.watched.values())

    @rule(at=st.sampled_from([0, 5, 12, 30]))
    def set_breakpoint(self, at: int) -> None:
        address = self.reference.pcs[at]
        self.breakpoints[self.debugger.break_at(address)] = address

    @rule(word=st.integers(0, 4))
    def set_watchpoint(self, word: int) -> None:
        self.watched[self.debugger.watch(TABLE + 4 * word, 4)] = 4 * word

    @precondition(lambda self: self.breakpoints or self.watched)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        points = [*self.breakpoints, *self.watched]
        point = data.draw(st.sampled_from(points))
        self.breakpoints.pop(point, None)
        self.watched.pop(point, None)
        point.remove()

    @rule()
    def run(self) -> None:
        stop = self.debugger.run()
        following = [each for each in range(self.at + 1, self.reference.last + 1) if self.stops_at(each)]
        if following and not self.ended:
            self.at = following[0]
            assert stop.kind in (StopKind.BREAKPOINT, StopKind.WATCHPOINT)
        else:
            self.at, self.ended = self.reference.last + 1, True
            assert stop.kind is StopKind.ENDED

    @rule()
    def back(self) -> None:
        stop = self.debugger.back()
        before = [each for each in range(1, min(self.at, self.reference.last + 1)) if self.stops_at(each)]
        self.ended = False
        self.at = before[-1] if before else 0
        assert stop.kind in ((StopKind.BREAKPOINT, StopKind.WATCHPOINT) if before else (StopKind.START,))

    @precondition(lambda self: not self.ended)
    @rule()
    def step(self) -> None:
        self.debugger.step()
        self.at += 1
        self.ended = self.at > self.reference.last

    @rule(count=st.integers(1, 70))
    def step_back(self, count: int) -> None:
        stop = self.debugger.step_back(count)
        assert (stop.kind is StopKind.START) == (self.at < count)
        self.at, self.ended = max(0, self.at - count), False

    @rule(share=st.floats(0, 1))
    def go_to(self, share: float) -> None:
        self.at, self.ended = int(share * self.reference.last), False
        self.debugger.go_to(self.at)

    @precondition(lambda self: not self.ended)
    @rule(offset=st.integers(0, 19), value=st.integers(0, 255))
    def edit(self, offset: int, value: int) -> None:
        self.debugger.write_memory(TABLE + offset, bytes([value]))
        self.edits[:] = [each for each in self.edits if each[0] <= self.at]
        self.edits.append((self.at, TABLE + offset, value))
        self.reference = Reference(self.edits)

    @precondition(lambda self: not self.ended and not self.edits)
    @rule(word=st.integers(0, 4))
    def who(self, word: int) -> None:
        write = self.debugger.who(TABLE + 4 * word)
        at = slice(4 * word, 4 * word + 4)
        changes = [
            each
            for each in range(1, self.at + 1)
            if self.reference.words[each - 1][at] != self.reference.words[each][at]
        ]
        assert (write is None) == (not changes)
        if write is not None:
            assert write.pc == self.reference.pcs[changes[-1] - 1]
            assert write.after == self.reference.words[self.at][at]

    @invariant()
    def stands_there(self) -> None:
        moment = self.debugger.moment
        assert moment.at_end == self.ended
        if not self.ended:
            assert moment == Moment(self.at)
            machine = self.debugger.machine
            assert (machine.registers(), machine.memory.read(TABLE, 64)) == self.reference.states[self.at]


def test_any_sequence_of_commands(monkeypatch: Any) -> None:  # noqa: ANN401 - a fixture
    for name, instructions in (("_FIRST", 50), ("_NEAR", 5), ("_FAR", 15), ("CHECKPOINTS_MAX", 7)):
        monkeypatch.setattr(travel, name, instructions)
    run_state_machine_as_test(
        Sequences, settings=settings(max_examples=25, stateful_step_count=15, deadline=None)
    )


def test_the_reference_knows_more_than_one_kind_of_position() -> None:
    reference = Reference([])
    assert reference.last > 300
    assert len(set(reference.pcs)) > 10
