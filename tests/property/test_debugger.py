"""Whatever is done with a debugger, it stands where a plain reference stands that runs again from the start each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emulator.machine.core.core_types import Registers

GUEST = assemble(
    FUNCTION
    + """
        movl    $table, %ebx
        movl    $40, %ecx
1:      call    work
        movl    (%ebx), %edx
        addl    %ecx, %edx
        .globl  store, count
store:  movl    %edx, (%ebx)
        incl    %esi
        loop    1b
        exit    0
        function work
        pushl   %ecx
        andl    $3, %ecx
count:  incl    4(%ebx,%ecx,4)
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
STORE, COUNT = GUEST.symbols["store"].address, GUEST.symbols["count"].address


class Edit(NamedTuple):
    """A change from outside: of a byte of memory, or of a register."""

    position: int
    where: int | str
    value: int

    def make(self, machine: Machine) -> None:
        """Make it on a machine that nobody debugs."""
        if isinstance(self.where, int):
            machine.memory.write(self.where, bytes([self.value]))
        else:
            machine.cpu.set_registers(machine.registers()._replace(**{self.where: self.value}))


def _stored(registers: Registers) -> range:
    """Return the bytes of the table that the next instruction stores to."""
    if registers.pc == STORE:
        return range(4)
    return range(4 + 4 * registers.ecx, 8 + 4 * registers.ecx) if registers.pc == COUNT else range(0)


class Reference:
    """All positions of a run, each by running from the start and executing one instruction at a time."""

    def __init__(self, edits: Sequence[Edit]) -> None:
        machine = Machine(GUEST)
        self.states: list[Any] = []
        self.pcs: list[int] = []
        self.words: list[bytes] = []
        self.written: list[range] = [range(0)]  # bytes of the table that the instruction before has stored to
        position = 0
        while True:
            for edit in edits:
                if edit.position == position:
                    edit.make(machine)
            self.states.append((machine.registers(), machine.memory.read(TABLE, 64)))
            self.pcs.append(machine.registers().pc)
            self.words.append(machine.memory.read(TABLE, 64))
            self.written.append(_stored(machine.registers()))
            position += 1
            machine.stops.stop_at(Instant(position))
            if machine.run().ending is not Returned.STOP:
                break
        self.last = position - 1  # the last instruction before the end
        self.call = self.pcs[self.pcs.index(WORK) - 1]
        self.ret = WORK + GUEST.symbols["work"].size - 1


class Sequences(RuleBasedStateMachine):
    """Commands in any order."""

    @initialize()
    def start(self) -> None:
        self.debugger = Debugger(Machine(GUEST))
        self.edits: list[Edit] = []
        self.reference = Reference(self.edits)
        self.at = 0
        self.ended = False
        self.breakpoints: dict[Any, int] = {}
        self.watched: dict[Any, tuple[int, int]] = {}

    def teardown(self) -> None:
        self.debugger.close()

    def stops_at(self, position: int) -> bool:
        """Whether a run stops in front of an instruction: there is a breakpoint, or the one before has stored to watched bytes."""
        if position > self.reference.last:
            return False
        broken = [address for point, address in self.breakpoints.items() if point.enabled]
        if self.reference.pcs[position] in broken:
            return True
        if not position:
            return False
        stored = self.reference.written[position]
        watched = [each for point, each in self.watched.items() if point.enabled]
        return any(at < stored.stop and stored.start < at + size for at, size in watched)

    @rule(at=st.sampled_from([0, 5, 12, 30]))
    def set_breakpoint(self, at: int) -> None:
        address = self.reference.pcs[at]
        self.breakpoints[self.debugger.break_at(address)] = address

    @rule(at=st.integers(0, 20), size=st.sampled_from([1, 2, 4, 4, 7]))
    def set_watchpoint(self, at: int, size: int) -> None:
        self.watched[self.debugger.watch(TABLE + at, size)] = at, size

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

    @rule(data=st.data())
    @precondition(lambda self: self.breakpoints or self.watched)
    def switch(self, data: st.DataObject) -> None:
        point = data.draw(st.sampled_from([*self.breakpoints, *self.watched]))
        point.enabled = not point.enabled

    @precondition(lambda self: not self.ended)
    @rule(share=st.floats(0, 1), other=st.floats(0, 1))
    def run_to(self, share: float, other: float) -> None:
        places = {self.reference.pcs[int(each * self.reference.last)] for each in (share, other)}
        stop = self.debugger.run_to(places)
        later = range(self.at + 1, self.reference.last + 1)
        following = [each for each in later if self.stops_at(each) or self.reference.pcs[each] in places]
        self.at = following[0] if following else self.reference.last + 1
        self.ended = not following
        assert (stop.kind is StopKind.ENDED) == self.ended
        assert (
            stop.kind is not StopKind.STEP
            or not self.stops_at(self.at)
            or self.reference.pcs[self.at] in places
        )

    @rule(share=st.floats(0, 1))
    def run_back_to(self, share: float) -> None:
        place = self.reference.pcs[int(share * self.reference.last)]
        self.debugger.run_back_to(place)
        earlier = range(1, min(self.at, self.reference.last + 1))
        before = [each for each in earlier if self.stops_at(each) or self.reference.pcs[each] == place]
        self.at, self.ended = before[-1] if before else 0, False

    @precondition(lambda self: not self.ended and self.is_at_return_address())
    @rule()
    def finish_back(self) -> None:
        self.debugger.finish_back()
        calls = [each for each in range(self.at) if self.reference.pcs[each] == self.reference.call]
        stops = [each for each in range(calls[-1] + 1, self.at) if self.stops_at(each)]
        begins = calls[-1] + 1
        self.at = stops[-1] if stops and (stops[-1] != begins or self.at == begins) else calls[-1]

    @precondition(lambda self: not self.ended and self.is_at_return_address())
    @rule()
    def finish(self) -> None:
        self.debugger.finish()
        pcs = self.reference.pcs
        returned = next(each for each in range(self.at, len(pcs)) if pcs[each - 1] == self.reference.ret)
        self.at = next((each for each in range(self.at + 1, returned) if self.stops_at(each)), returned)

    def is_at_return_address(self) -> bool:
        """Whether ESP points to it: else who has called is not known."""
        return self.reference.pcs[self.at] in (WORK, self.reference.ret)

    def _edited(self, where: int | str, value: int) -> None:
        self.edits[:] = [each for each in self.edits if each.position <= self.at]
        self.edits.append(Edit(self.at, where, value))
        self.reference = Reference(self.edits)

    @precondition(lambda self: not self.ended)
    @rule(offset=st.integers(0, 19), value=st.integers(0, 255))
    def edit(self, offset: int, value: int) -> None:
        self.debugger.write_memory(TABLE + offset, bytes([value]))
        self._edited(TABLE + offset, value)

    @precondition(lambda self: not self.ended)
    @rule(name=st.sampled_from(["esi", "edx", "edi"]), value=st.integers(0, (1 << 32) - 1))
    def edit_register(self, name: str, value: int) -> None:
        self.debugger.write_register(name, value)
        self._edited(name, value)

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
