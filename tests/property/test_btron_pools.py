"""Memory pools of BTRON/386 and the tasks that wait for them, under random calls: the models against the naive way."""

from __future__ import annotations

from typing import Final

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.conformance.btron.subjects import Guest, ModelSubject

E_OK, E_WAITING = 0, 1
E_PAR, E_NOEXS, E_OBJ, E_CTX, E_DLT, E_TMOUT, E_RLWAI = -33, -52, -63, -69, -81, -85, -86
TMO_POL, TMO_FEVR = 0, -1
TASKS: Final = range(1, 9)
PRIORITIES: Final = {task: (5, 3, 9, 5, 3, 9, 1, 31)[task - 1] for task in TASKS}
NOBODY: Final = 0


class Request:
    """A request of the oracle: who waits for how many bytes (any number in pools of blocks of one size)."""

    def __init__(self, task: int, size: int) -> None:
        self.task, self.size = task, size


class PoolMachine(RuleBasedStateMachine):
    """What both kinds share: tasks, the queue, and who is served. A subclass says where a request of n bytes fits."""

    kind: str
    number = 42

    @initialize(by_priority=st.booleans(), tick=st.integers(0, 0xFFFFFFFF), data=st.data())
    def boot(self, by_priority: bool, tick: int, data: st.DataObject) -> None:
        self.guest = Guest(ModelSubject())
        self.guest.boot()
        for task, priority in PRIORITIES.items():
            self.guest.add_task(task, priority)
        self.guest.set("sys_tick", tick)
        self.by_priority = by_priority
        self.queue: list[Request] = []
        self.ready = {
            priority: [t for t in TASKS if PRIORITIES[t] == priority] for priority in PRIORITIES.values()
        }
        self.live: dict[int, int] = {}
        self.create(data)

    # What the subclass knows.

    def create(self, data: st.DataObject) -> None:
        raise NotImplementedError

    def take(self, size: int) -> int:
        """Return where a request goes, and note it; 0 if it does not fit."""
        raise NotImplementedError

    def give_back(self, block: int) -> None:
        raise NotImplementedError

    def arguments(self, size: int) -> tuple[int, ...]:
        raise NotImplementedError

    def expect_state(self) -> tuple[int, ...]:
        """Return what the packet of refer holds after ``exinf`` and ``wtsk``."""
        raise NotImplementedError

    # Calls.

    def expect_ready(self, task: int, code: int) -> None:
        self.ready[PRIORITIES[task]].append(task)
        assert self.guest.wercd(task) == code

    def expect_served(self) -> None:
        """Walk the queue as the specification says, then compare."""
        failed = 1 << 32
        for request in list(self.queue):
            if request.size >= failed:
                continue
            block = self.take(request.size)
            if not block:
                failed = request.size
                continue
            self.queue.remove(request)
            assert self.guest.block(request.task) == block
            self.live[block] = request.size
            self.expect_ready(request.task, E_OK)

    @rule(size=st.integers(1, 200), timeout=st.sampled_from([TMO_POL, TMO_FEVR, 1, 500]), data=st.data())
    def get(self, size: int, timeout: int, data: st.DataObject) -> None:
        ready = [task for tasks in self.ready.values() for task in tasks]
        task = data.draw(st.sampled_from([NOBODY, *ready]))
        self.guest.run(task)
        self.guest.poke(self.guest.out(task), 0)
        code = self.guest.er(
            f"{self.kind}_get", self.guest.out(task), self.number, *self.arguments(size), timeout
        )
        if timeout != TMO_POL and task == NOBODY:
            assert code == E_CTX
            return
        block = self.take(size)
        assert self.guest.block(task) == block
        if block:
            assert code == E_OK
            self.live[block] = size
        elif timeout == TMO_POL:
            assert code == E_TMOUT
        else:
            assert code == E_WAITING
            self.wait(Request(task, size), timeout)

    def wait(self, request: Request, timeout: int) -> None:
        priority = PRIORITIES[request.task]
        self.ready[priority].remove(request.task)
        self.queue.append(request)
        if self.by_priority:
            self.queue.sort(key=lambda each: PRIORITIES[each.task])  # stable: equals stay in order of arrival
        assert self.guest.tcb(request.task, "has_deadline") == (timeout != TMO_FEVR)

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        assume(self.live)
        block = data.draw(st.sampled_from(sorted(self.live)))
        assert self.guest.er(f"{self.kind}_release", self.number, block) == E_OK
        del self.live[block]
        self.give_back(block)
        self.expect_served()

    @rule(shift=st.integers(-16, 600))
    def release_what_is_not_live(self, shift: int) -> None:
        block = self.guest.pool(f"{self.kind}_table", self.number)["area"] + shift
        assume(block not in self.live)
        before = self.guest.state()
        assert self.guest.er(f"{self.kind}_release", self.number, block) == E_PAR
        assert self.guest.state() == before

    @rule(task=st.sampled_from(TASKS), code=st.sampled_from([E_TMOUT, E_RLWAI]))
    def cancel(self, task: int, code: int) -> None:
        waiting = next((request for request in self.queue if request.task == task), None)
        assert self.guest.er("wait_cancel", task, code) == (E_OK if waiting else E_OBJ)
        if waiting:
            self.queue.remove(waiting)
            self.expect_ready(task, code)
            self.expect_served()

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        assert self.guest.er(f"{self.kind}_delete", self.number) == E_OK
        for request in self.queue:
            self.expect_ready(request.task, E_DLT)
        self.queue.clear()
        self.live.clear()
        assert self.guest.er(f"{self.kind}_delete", self.number) == E_NOEXS
        assert sum(size for _, size in self.guest.free_list()) == 40960
        self.create(data)

    # What always holds.

    @invariant()
    def queues_are_those_of_the_oracle(self) -> None:
        waiting = [request.task for request in self.queue]
        assert self.guest.waiters(f"{self.kind}_table", self.number) == waiting
        for priority, tasks in self.ready.items():
            assert self.guest.ready(priority) == tasks
        assert sorted(waiting + [task for tasks in self.ready.values() for task in tasks]) == list(TASKS)
        assert [self.guest.tcb(task, "state") for task in waiting] == [4] * len(waiting)

    @invariant()
    def refer_reports_what_the_oracle_knows(self) -> None:
        packet = self.guest.out(20)
        assert self.guest.er(f"{self.kind}_refer", packet, self.number) == E_OK
        first = self.queue[0].task if self.queue else 0
        expected = (7, first, *self.expect_state())
        assert self.guest.words(packet, len(expected)) == expected


class VariableMachine(PoolMachine):
    """The oracle: a list of segments (start, bytes with the record, block or 0), merged by reading all neighbours."""

    kind = "mpl"

    def create(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 600))
        assert self.guest.er("mpl_create", self.number, self.guest.packet(7, self.by_priority, size)) == E_OK
        whole = 8 + -(-size // 8) * 8
        self.segments = [[self.guest.pool("mpl_table", self.number)["area"], whole, False]]

    def arguments(self, size: int) -> tuple[int, ...]:
        return (size,)

    def take(self, size: int) -> int:
        wanted = 8 + -(-size // 8) * 8
        for index, (start, room, used) in enumerate(self.segments):
            if not used and room >= wanted:
                if room - wanted >= 16:
                    self.segments[index : index + 1] = [
                        [start, wanted, True],
                        [start + wanted, room - wanted, False],
                    ]
                else:
                    self.segments[index][2] = True
                return start + 8
        return 0

    def give_back(self, block: int) -> None:
        merged: list[list[int]] = []
        for start, size, used in self.segments:
            if start + 8 != block and used:
                merged.append([start, size, True])
            elif merged and not merged[-1][2]:
                merged[-1][1] += size
            else:
                merged.append([start, size, False])
        self.segments = merged

    def expect_state(self) -> tuple[int, ...]:
        free = [size - 8 for _, size, used in self.segments if not used]
        return sum(free), max(free, default=0)

    @invariant()
    def records_tile_the_area(self) -> None:
        fields = self.guest.pool("mpl_table", self.number)
        assert sum(size for _, size, _ in self.segments) == fields["area_size"]
        for start, size, used in self.segments:
            tag = 0x4D504C00 | self.number if used else 0x46524545
            assert self.guest.words(start, 2) == (size - 8, tag)


class FixedMachine(PoolMachine):
    """The oracle: a stack of free blocks."""

    kind = "mpf"

    def create(self, data: st.DataObject) -> None:
        count, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
        packet = self.guest.packet(7, self.by_priority, count, size)
        assert self.guest.er("mpf_create", self.number, packet) == E_OK
        area, stride = self.guest.pool("mpf_table", self.number)["area"], 8 + -(-size // 8) * 8
        self.free = [area + 8 + stride * index for index in reversed(range(count))]
        self.blocks = sorted(self.free)

    def arguments(self, size: int) -> tuple[int, ...]:  # noqa: ARG002 - all blocks are of one size
        return ()

    def take(self, size: int) -> int:  # noqa: ARG002 - all blocks are of one size
        return self.free.pop() if self.free else 0

    def give_back(self, block: int) -> None:
        self.free.append(block)

    def expect_state(self) -> tuple[int, ...]:
        return (len(self.free),)

    @invariant()
    def each_block_is_free_or_out(self) -> None:
        assert sorted([*self.free, *self.live]) == self.blocks


TestVariablePools = VariableMachine.TestCase
TestVariablePools.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestFixedPools = FixedMachine.TestCase
TestFixedPools.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
