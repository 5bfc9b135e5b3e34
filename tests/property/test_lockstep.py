"""Random calls in lockstep: native code and model agree after each, also on heaps that were damaged on purpose.

The engine itself checks results and bytes; here only the calls are made, and the books kept that free-all needs.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from emulator.errors import GuestStopped
from emulator.hle.kernels import find_litecore
from emulator.hle.layers import Mode, attach_layers
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

WORDS = st.one_of(st.integers(0, 600), st.sampled_from([0xFFFFFFF8, 0xFFFFFFFF, 0x80000000, 65528, 65536]))
FRAME_NONE = 0xFFFFFFFF


def booted() -> Machine:
    machine = Machine(KernelImage.read(builtin.resolve("firmware:demo")))
    attach_layers(machine, {"memmap": Mode.LOCKSTEP, "heap": Mode.LOCKSTEP})
    machine.call("memory_init")
    return machine


MACHINE = booted()
BOOTED = MACHINE.snapshot()


class LockstepMachine(RuleBasedStateMachine):
    """All calls of LiteCore, in any order."""

    blocks = Bundle("blocks")
    runs = Bundle("runs")

    @initialize()
    def boot(self) -> None:
        BOOTED.reset()
        self.live: dict[int, int] = {}
        self.taken: set[tuple[int, int]] = set()

    @rule(target=blocks, size=WORDS)
    def kmalloc(self, size: int) -> object:
        possible = MACHINE.call("mem_has_space", 0, size) & 0xFF
        address = MACHINE.call("kmalloc", size)
        assert bool(address) == bool(possible)
        if not address:
            return multiple()
        assert not any(address < end and start < address + size for start, end in self.live.items())
        self.live[address] = address + size
        MACHINE.memory.write(address, b"\xa5" * size)
        return address

    @rule(address=consumes(blocks))
    def kfree(self, address: int) -> None:
        MACHINE.call("kfree", address)
        del self.live[address]

    @rule(address=st.one_of(WORDS, st.integers(0x0010B000, 0x0011D000)))
    def kfree_anything_else(self, address: int) -> None:
        if address not in self.live:
            MACHINE.call("kfree", address)

    @rule(target=runs, count=st.one_of(st.integers(0, 40), WORDS))
    def alloc_frames(self, count: int) -> object:
        first = MACHINE.call("alloc_frames", count)
        if first == FRAME_NONE:
            return multiple()
        self.taken.add((first, count))
        return first, count

    @rule(target=runs)
    def alloc_frame(self) -> object:
        first = MACHINE.call("alloc_frame")
        if first == FRAME_NONE:
            return multiple()
        self.taken.add((first, 1))
        return first, 1

    @rule(run=consumes(runs))
    def free_frames(self, run: tuple[int, int]) -> None:
        assert MACHINE.call("free_frames", *run) == 0
        self.taken.remove(run)

    @rule(frame=st.one_of(WORDS, st.integers(0xF0, 0x510)))
    def free_a_frame_that_is_free_or_outside(self, frame: int) -> None:
        litecore = find_litecore(MACHINE)
        assert litecore is not None
        fields = litecore.memmap.fields()
        inside = fields.start_frame <= frame < fields.end_frame
        if not inside or not any(
            run.start <= frame < run.end and run.used for run in litecore.memmap.usage().runs()
        ):
            assert MACHINE.call("free_frame", frame) == FRAME_NONE

    @rule(kind=st.integers(0, 3), size=WORDS)
    def mem_has_space(self, kind: int, size: int) -> None:
        MACHINE.call("mem_has_space", kind, size)

    def teardown(self) -> None:
        for address in self.live if hasattr(self, "live") else ():
            MACHINE.call("kfree", address)
        for run in self.taken if hasattr(self, "taken") else ():
            assert MACHINE.call("free_frames", *run) == 0


class DamageMachine(RuleBasedStateMachine):
    """A heap that something writes over: both sides must fail alike, and always come back."""

    @initialize()
    def boot(self) -> None:
        BOOTED.reset()
        self.addresses = [MACHINE.call("kmalloc", size) for size in (8, 100, 24, 500, 8)]
        for address in self.addresses[1::2]:
            MACHINE.call("kfree", address)

    @rule(
        offset=st.integers(0, 200),
        value=st.one_of(WORDS, st.integers(0, 1), st.integers(0x0010C000, 0x0010C400)),
    )
    def damage(self, offset: int, value: int) -> None:
        start = MACHINE.memory.load_u32(MACHINE.image.symbols["heap_start"].address)
        MACHINE.memory.store_u32(start + 4 * offset, value)

    @rule(value=st.one_of(WORDS, st.integers(0x0010C000, 0x0010C400)))
    def damage_the_head(self, value: int) -> None:
        MACHINE.memory.store_u32(MACHINE.image.symbols["heap_free_list"].address, value)

    @rule(size=WORDS)
    def kmalloc(self, size: int) -> None:
        self.call("kmalloc", size)

    @rule(index=st.integers(0, 4))
    def kfree(self, index: int) -> None:
        self.call("kfree", self.addresses[index])

    @rule(size=WORDS)
    def mem_has_space(self, size: int) -> None:
        self.call("mem_has_space", 0, size)

    def call(self, name: str, *arguments: int) -> None:
        try:
            MACHINE.call(name, *arguments)
        except GuestStopped as error:
            raise AssertionError(f"{name} did not come back: {error}") from error


TestLockstep = LockstepMachine.TestCase
TestLockstep.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDamage = DamageMachine.TestCase
TestDamage.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
