"""Calls in lockstep that exceptions interrupt: the handler's work is not theirs, and not every task comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import Mode, attach_layers
from emulator.errors import BudgetUsedUp
from emulator.hle.differences import Difference
from emulator.hle.layers import LockstepCalls, lockstep_calls
from emulator.hle.lockstep import Divergence
from emulator.machine.consoles import Console
from tests.helpers.fault_kernel import MAP, STACKS, TOUCH, FaultModels, fault_machine, register
from tests.helpers.guest import symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

CALL = "pushl ${}\n call work\n addl $4, %esp\n"
ONE_CALL = CALL.format("0x400000")
PRINT = "movb $'!', %al\n outb %al, $0xe9\n"


@pytest.fixture(autouse=True)
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def run(machine: Machine) -> LockstepCalls | None:
    assert machine.run(max_instructions=10_000_000).exit_value == 0
    return lockstep_calls(machine)


def divergence(machine: Machine) -> Divergence:
    with pytest.raises(Divergence) as caught:
        machine.run(max_instructions=10_000_000)
    return caught.value


class TestTheHandlersWrites:
    def test_are_not_the_calls(self) -> None:
        """It maps a page, counts, and makes a call of its own, which is compared itself."""
        machine = fault_machine(ONE_CALL)
        assert run(machine) == LockstepCalls(compared=2)
        assert machine.memory.load_u32(symbol(machine, "faults")) == 1

    def test_come_after_each_fault(self) -> None:
        work = TOUCH.replace("(%eax)\n", "(%eax)\n addl $0, 0x1000(%eax)\n addl $0, 0x2000(%eax)\n")
        assert run(fault_machine(ONE_CALL, work=work)) == LockstepCalls(compared=4)

    def test_at_its_first_instruction(self) -> None:
        """That comes twice."""
        machine = fault_machine(ONE_CALL, work="addl $0, 0x402000\n" + TOUCH)
        assert run(machine) == LockstepCalls(compared=3)
        assert machine.memory.load_u32(symbol(machine, "faults")) == 2

    def test_do_not_hide_what_the_call_does_before(self) -> None:
        work = "incl other\n" + TOUCH
        machine = fault_machine(ONE_CALL, work=work)
        at = symbol(machine, "other")
        assert divergence(machine).differences == (
            Difference(f"0x{at:08x} other", "0x00000000", "0x00000001", at, 4),
        )

    def test_do_not_hide_what_it_does_after_that(self) -> None:
        """In a page that only the handler had written to."""
        machine = fault_machine(ONE_CALL, work=TOUCH.replace("ret", "incl taken\n ret"))
        assert [each.place.split()[-1] for each in divergence(machine).differences] == ["taken"]

    def test_are_taken_as_they_are_where_the_call_has_written_to_the_page(self) -> None:
        machine = fault_machine(ONE_CALL, handler=MAP.format(then="movl $77, other"))
        assert run(machine) == LockstepCalls(compared=2)

    def test_are_compared_in_calls_of_its_own(self) -> None:
        handler = MAP.format(then="").replace("call    take_frame", "movl $-1, faults\n call take_frame")
        machine = fault_machine(ONE_CALL, handler=handler)
        machine.memory.write(symbol(machine, "take_frame") + 5, b"\xc1\xe0\x0b")  # shll $11: another frame
        machine.memory.store_u32(symbol(machine, "taken"), 1)
        machine.cpu.flush_code()
        assert divergence(machine).call == "take_frame()"

    def test_of_an_int_are_the_calls(self) -> None:
        """It has asked for them."""
        machine = fault_machine(
            "gate 0x40, on_int\n" + ONE_CALL, work="int $0x40\n" + TOUCH, more="on_int: incl other\n iret"
        )
        assert [each.place.split()[-1] for each in divergence(machine).differences] == ["other"]

    def test_and_bits_that_the_cpu_sets_for_it_in_an_entry_of_the_calls(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The call maps a page, and the handler uses it."""
        right = FaultModels.work

        def work(self: FaultModels, linear: int) -> int:
            self.memory.store_u32(self.at["window_table"] + 64, self.at["frames"] + 0x10007)
            return right(self, linear)

        monkeypatch.setattr(FaultModels, "work", work)
        machine = fault_machine(
            ONE_CALL,
            work="movl $frames + 0x10007, window_table + 64\n" + TOUCH,
            handler=MAP.format(then="addl $0, 0x410000"),
        )
        assert run(machine) == LockstepCalls(compared=2)
        assert machine.memory.load_u32(symbol(machine, "window_table") + 64) & 0xFFF == 0x67

    def test_of_a_handler_that_faults_itself(self) -> None:
        handler = MAP.format(then="testl $1, faults\n jz 1f\n addl $0, 0x401000\n 1:")
        machine = fault_machine(ONE_CALL, handler=handler)
        assert run(machine) == LockstepCalls(compared=3)

    def test_of_a_call_in_the_handler_that_faults(self) -> None:
        handler = MAP.format(then="testl $1, faults\n jz 1f\n" + CALL.format("0x401000") + "1:").replace(
            "popal\n", "", 1
        )
        handler = handler.replace("addl    $4, %esp\n        iret", "popal\n addl $4, %esp\n iret")
        machine = fault_machine(ONE_CALL, handler=handler)
        assert run(machine) == LockstepCalls(compared=4)

    def test_to_the_console_are_not_compared(self) -> None:
        machine = fault_machine(ONE_CALL, handler=MAP.format(then=f"pushl %eax\n {PRINT} popl %eax"))
        calls = run(machine)
        assert calls is not None
        assert calls.compared + calls.given_up == 2
        assert bytes(machine.output[Console.DEBUG]) == b"!"


class TestWhatTheHandlerChangesForTheCall:
    """The call and the handler both take a frame: no order of the two is wrong."""

    BOTH = TOUCH.replace("movl    count(%edx), %eax", "call take_frame")

    @pytest.fixture(autouse=True)
    def work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def work(self: FaultModels, _linear: int) -> int:
            self.memory.store_u32(self.at["count"], self.memory.load_u32(self.at["count"]) + 2)
            return self.take_frame()

        monkeypatch.setattr(FaultModels, "work", work)

    def test_is_right(self) -> None:
        assert run(fault_machine(ONE_CALL, work=self.BOTH)) == LockstepCalls(compared=3)

    def test_is_given_up_where_it_falls_between_the_calls_own_changes(self) -> None:
        """The call has taken its frame before the fault."""
        work = "call take_frame\n" + self.BOTH.replace("call take_frame", "movl $frames, %eax")
        assert run(fault_machine(ONE_CALL, work=work)) == LockstepCalls(compared=2, given_up=1)

    def test_is_given_up_where_neither_answer_is_what_was_done(self) -> None:
        machine = fault_machine(ONE_CALL, work=self.BOTH.replace("ret", "movl $9, %eax\n ret"))
        assert run(machine) == LockstepCalls(compared=2, given_up=1)

    def test_is_wrong_where_both_answers_are_another(self) -> None:
        """The handler takes a frame that nobody counts."""
        handler = MAP.format(then="").replace("call    take_frame", "movl $frames + 0x8000, %eax")
        machine = fault_machine(
            ONE_CALL, work=self.BOTH.replace("ret", "addl $0x1000, %eax\n ret"), handler=handler
        )
        differences = divergence(machine).differences
        assert [each.place for each in differences] == ["result"]


class TestTasks:
    # The second task works in another page, and gives way in its own fault; then the first one goes on in its handler.
    TWO = (
        "movl $1, %eax\n movl $second, %edx\n call task_new\n"
        + ONE_CALL
        + "movl $1, %eax\n call switch_to\n exit 0"
    )
    SECOND = "second: " + CALL.format("0x401000") + "xorl %eax, %eax\n call switch_to\n"
    GIVE_WAY = "pushal\n movl current, %eax\n xorl $1, %eax\n call switch_to\n popal"

    def test_are_compared_at_the_same_time(self) -> None:
        """Each is in the middle of its call while the other one works."""
        machine = fault_machine(self.TWO, handler=MAP.format(then=self.GIVE_WAY), more=self.SECOND)
        assert run(machine) == LockstepCalls(compared=4)
        assert machine.memory.load_words(symbol(machine, "count"), 2) == (2, 2)

    def test_which_of_them_is_wrong_is_known(self) -> None:
        second = self.SECOND.replace("call work", "movl $1, %ebx\n call work")
        work = "testl %ebx, %ebx\n jz 1f\n incl other\n 1:" + TOUCH
        machine = fault_machine(
            "xorl %ebx, %ebx\n" + self.TWO, work=work, handler=MAP.format(then=self.GIVE_WAY), more=second
        )
        assert divergence(machine).call == "work(0x00401000)"

    @pytest.mark.parametrize("stacks", [1, 3, STACKS - 1])
    def test_that_are_killed_leave_nothing_behind(self, stacks: int) -> None:
        """Thousands of them, inside of a call, on the same stack or on many."""
        many = 3000
        machine = fault_machine(
            f"movl ${many}, %ebx\n xorl %eax, %eax\n"
            f"next: incl %eax\n cmpl ${stacks}, %eax\n jbe 1f\n movl $1, %eax\n"
            "1: movl $victim, %edx\n call task_new\n call switch_to",
            handler="movl $stack, %esp\n xorl %eax, %eax\n xchgl %eax, current\n decl %ebx\n jnz next\n"
            "sti\n 2: cmpl $3, ticks\n jb 2b\n exit 0",
            more="victim: " + CALL.format("0x7ffffc"),
            timer=True,
        )
        assert run(machine) == LockstepCalls(compared=0, given_up=many)

    def test_that_was_killed_is_not_taken_for_the_next_one_on_its_stack(self) -> None:
        """That one makes the same call from the same call site, and is compared."""
        machine = fault_machine(
            "movl $1, %eax\n movl $victim, %edx\n call task_new\n movl $1, %eax\n call switch_to\n",
            handler="btsl $0, faults\n jc 1f\n movl $stack, %esp\n movl $0, current\n movl $1, %eax\n movl $victim, %edx\n call task_new\n"
            "movl $1, %eax\n call switch_to\n 1:" + MAP.format(then=""),
            more="victim: " + ONE_CALL + "exit 0\n",
        )
        assert run(machine) == LockstepCalls(compared=2, given_up=1)

    @pytest.mark.parametrize(
        ("stacks", "free"),
        [
            (1, ""),
            (
                100,
                "movl %esp, %edi\n andl $-4096, %edi\n movl $1024, %ecx\n xorl %eax, %eax\n cld\n rep stosl",
            ),
        ],
    )
    def test_that_wait_are_not_given_up_for_dead_ones(self, stacks: int, free: str) -> None:
        """The dead ones' stack is used by the next one, or each has its own, which is freed and cleared."""
        machine = fault_machine(
            "movl $1, %eax\n movl $waiter, %edx\n call task_new\n movl $1, %eax\n call switch_to\n"
            "movl $100, %ebx\n movl $2, %eax\n"
            f"next: movl $victim, %edx\n call task_new\n call switch_to\n again: incl %eax\n cmpl ${stacks + 2}, %eax\n"
            "jb 1f\n movl $2, %eax\n 1: decl %ebx\n jnz next\n movl $1, %eax\n call switch_to",
            handler=f"cmpl $1, current\n je 1f\n movl %esp, %esi\n {free}\n movl $stack - 64, %esp\n xorl %eax, %eax\n"
            "xchgl %eax, current\n jmp again\n 1:"
            + MAP.format(then="pushal\n xorl %eax, %eax\n call switch_to\n popal"),
            more=f"waiter: {ONE_CALL} exit 0\n victim: {CALL.format('0x7ffffc')}",
        )
        assert run(machine) == LockstepCalls(compared=2, given_up=100)

    def test_that_live_are_not_given_up_for_dead_ones(self) -> None:
        """There are more dead ones than watches, and nobody uses their stacks again."""
        machine = fault_machine(
            "movl $1, %eax\n"
            "next: movl $victim, %edx\n call task_new\n call switch_to\n again: incl %eax\n cmpl $100, %eax\n jbe next\n"
            + ONE_CALL,
            handler="cmpl $0, current\n je 1f\n movl $stack, %esp\n xorl %eax, %eax\n xchgl %eax, current\n jmp again\n 1:"
            + MAP.format(then=""),
            more="victim: " + CALL.format("0x7ffffc"),
        )
        assert run(machine) == LockstepCalls(compared=2, given_up=100)

    def test_may_have_their_stacks_at_the_same_addresses(self) -> None:
        """Each in a frame of its own: the two calls have one ESP, one return address, and come from one call site."""
        machine = fault_machine(
            """
        movl    $frames + 0x21007, %eax
        movl    %eax, entries + 4
        movl    $frames + 0x20007, %eax
        movl    %eax, entries
        movl    %eax, window_table + 32
        movl    $0x409000 - 48, saved + 4
        movl    $task, frames + 0x22000 - 12
        movl    $8, frames + 0x22000 - 8
        movl    $2, frames + 0x22000 - 4
        movl    $0x409000, %esp
task:   movl    current, %eax
        shll    $12, %eax
        addl    $0x400000, %eax
        pushl   %eax
        call    work
        btsl    $0, done
        jc      1f
        pushfl
        pushl   %cs
        pushl   $1f
        pushl   $0
        jmp     switch
1:
""",
            handler=MAP.format(
                then="""
switch: pushal
        movl    current, %ecx
        movl    %esp, saved(, %ecx, 4)
        xorl    $1, %ecx
        movl    %ecx, current
        movl    entries(, %ecx, 4), %edx
        movl    %edx, window_table + 32
        invlpg  0x408000
        movl    saved(, %ecx, 4), %esp
        popal
"""
            ),
            more=".data\n entries: .long 0, 0\n done: .long 0\n .text",
        )
        assert run(machine) == LockstepCalls(compared=4)
        assert machine.memory.load_words(symbol(machine, "count"), 2) == (2, 2)

    def test_a_call_that_switches_by_itself_is_given_up(self) -> None:
        """The other task's writes are not its own, and what switches is in no model."""
        work = " movl current, %eax\n xorl $1, %eax\n call switch_to\n movl count, %eax\n ret"
        machine = fault_machine(
            self.TWO[: self.TWO.index("movl $1, %eax\n call switch_to")],
            work=work,
            more="second: movl $5, other\n xorl %eax, %eax\n call switch_to\n",
        )
        assert run(machine) == LockstepCalls(compared=0, given_up=1)

    def test_also_after_an_exception(self) -> None:
        work = TOUCH.replace(
            "ret", "movl current, %eax\n xorl $1, %eax\n call switch_to\n movl count, %eax\n ret"
        )
        machine = fault_machine(
            self.TWO[: self.TWO.index("movl $1, %eax\n call switch_to")],
            work=work,
            more="second: movl $5, other\n xorl %eax, %eax\n call switch_to\n",
        )
        assert run(machine) == LockstepCalls(compared=1, given_up=1)


class TestInterrupts:
    def test_come_while_the_handler_runs_and_not_after_it(self) -> None:
        handler = MAP.format(then="sti\n 3: cmpl $3, ticks\n jb 3b")
        work = TOUCH.replace(
            "movl    count", "movl $200000, %ecx\n 4: loop 4b\n movl ticks, %ecx\n movl count"
        )
        machine = fault_machine(
            "sti\n" + ONE_CALL + "cli\n movl ticks, %esi", work=work, handler=handler, timer=True
        )
        assert run(machine) == LockstepCalls(compared=2)
        assert machine.registers().ecx == 3  # in the call
        assert machine.registers().esi == 4  # right after it

    def test_come_again_when_the_call_was_given_up(self) -> None:
        machine = fault_machine(
            ONE_CALL, handler="movl $stack, %esp\n sti\n 1: cmpl $3, ticks\n jb 1b\n exit 0", timer=True
        )
        assert run(machine) == LockstepCalls(compared=0, given_up=1)


class TestTheStateOfTheMachine:
    def test_in_the_middle_of_a_handler_is_kept_by_snapshots(self) -> None:
        machine = fault_machine(ONE_CALL)
        while not machine.memory.load_u32(symbol(machine, "faults")):
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=1)
        snapshot = machine.snapshot()
        for _ in range(3):
            assert run(machine) == LockstepCalls(compared=2)
            snapshot.reset()
            assert lockstep_calls(machine) == LockstepCalls(compared=1, given_up=1)

    def test_at_any_instruction(self) -> None:
        """Whatever the budgets are, the outcome is the same."""
        machine = fault_machine(ONE_CALL)
        start = machine.snapshot()
        total = machine.run().instructions - 2  # of the last block, after the `out`
        for first in range(total):
            start.reset()
            attach_layers(machine, {"work": Mode.LOCKSTEP})
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=first)
            middle = machine.snapshot()
            assert run(machine) == LockstepCalls(compared=2)
            middle.reset()
            assert run(machine) == LockstepCalls(compared=2)
            middle.discard()

    def test_a_change_of_mode_in_the_handler_gives_the_call_up(self) -> None:
        machine = fault_machine(ONE_CALL)
        while not machine.memory.load_u32(symbol(machine, "faults")):
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=1)
        attach_layers(machine, {"work": Mode.NATIVE})
        assert run(machine) == LockstepCalls(compared=1, given_up=1)

    def test_registers_that_are_set_in_the_handler_give_the_call_up(self) -> None:
        machine = fault_machine(ONE_CALL)
        while not machine.memory.load_u32(symbol(machine, "faults")):
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=1)
        machine.cpu.set_registers(machine.cpu.registers())
        assert run(machine) == LockstepCalls(compared=1, given_up=1)


def test_a_handler_that_goes_back_without_iret_gives_the_call_up() -> None:
    handler = MAP.format(then="").replace("iret", "popl %ecx\n addl $4, %esp\n popfl\n jmp *%ecx")
    assert run(fault_machine(ONE_CALL, handler=handler)) == LockstepCalls(compared=1, given_up=1)
