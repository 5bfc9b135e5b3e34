"""Calls in lockstep that do not come back, that interfere with each other, or that do not keep what every function keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator import Mode, attach_layers, boot
from emulator.errors import BudgetUsedUp, EmulatorError, UnsupportedFunction
from emulator.hle.binding import Bound, caller_of
from emulator.hle.differences import Difference
from emulator.hle.kernels import KERNELS, recognize
from emulator.hle.layers import LockstepCalls, lockstep_calls
from emulator.hle.lockstep import Divergence
from emulator.machine.code.exits import find_own_exits
from emulator.machine.execution import Returned
from emulator.machine.recording import RecordedFunction, record
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.pools.mpl import VariablePools
from kernel_model.litecore.abi import LiteCore
from tests.helpers.guest import symbol
from tests.helpers.recorded import held_calls
from tests.helpers.tiny_litecore import RIGHT, tiny_litecore
from tests.unit.machine.board.test_interrupts import IDT, ON_TICK, TIMER

if TYPE_CHECKING:
    from emulator.machine.machine import Machine
    from kernel_model.abi import Function

MANY = 200  # more than watches can be open at a time


def watched(memmap_get: str, body: str = "call memmap_get", more: str = "") -> Machine:
    machine = tiny_litecore(memmap_get, body, more)
    attach_layers(machine, {"memmap": Mode.LOCKSTEP})
    return machine


def differences(machine: Machine) -> tuple[Difference, ...]:
    with pytest.raises(Divergence) as caught:
        machine.run(timeout_s=20)
    return caught.value.differences


@pytest.fixture
def heap() -> Machine:
    """The demonstration kernel after its end, its heap in lockstep."""
    machine = boot("firmware:demo", layers={"heap": "lockstep"})
    machine.run(timeout_s=20)
    machine.call("memory_init")
    return machine


class TestCallsThatAreGivenUp:
    def test_by_setting_registers(self, heap: Machine) -> None:
        before, first = heap.cpu.registers(), lockstep_calls(heap)
        assert first is not None
        for _ in range(MANY):
            with pytest.raises(BudgetUsedUp):
                heap.call("kmalloc", 64, max_instructions=5)
            heap.cpu.set_registers(before)
        heap.memory.store_u32(symbol(heap, "heap_lock"), 0)
        assert heap.call("kmalloc", 64)
        assert lockstep_calls(heap) == (first.compared + 1, first.given_up + MANY)

    def test_by_going_back_to_a_snapshot(self, heap: Machine) -> None:
        first, snapshot = lockstep_calls(heap), heap.snapshot()
        assert first is not None
        for _ in range(MANY):
            with pytest.raises(BudgetUsedUp):
                heap.call("kmalloc", 64, max_instructions=5)
            snapshot.reset()
        assert heap.call("kmalloc", 64)
        assert lockstep_calls(heap) == (first.compared + 1, first.given_up)

    def test_by_another_call_from_outside(self, heap: Machine) -> None:
        """What that one does is not the first one's, so the first one is not compared."""
        first = lockstep_calls(heap)
        assert first is not None
        with pytest.raises(BudgetUsedUp):
            heap.call("kmalloc", 64, max_instructions=1)
        registers = heap.cpu.registers()
        assert heap.call("kmalloc", 64)
        assert heap.cpu.registers() == registers
        assert heap.run(timeout_s=20).ending is Returned.HALTED
        assert lockstep_calls(heap) == (first.compared + 1, first.given_up + 1)

    def test_by_the_guest_alone(self) -> None:
        """A handler restores an older ESP each time."""
        machine = watched(
            "cmpl $0, %ebx\n je 1f\n ud2\n1: " + RIGHT,
            f"{IDT} lidt idtr\n gate 6, handler\n movl ${MANY}, %ebx\n again: call memmap_get\n exit 0",
            "handler: movl $stack, %esp\n decl %ebx\n jmp again",
        )
        assert machine.run(timeout_s=20).exit_value == 0
        assert lockstep_calls(machine) == LockstepCalls(compared=1, given_up=MANY)

    def test_by_the_guest_alone_deeper_and_deeper(self) -> None:
        """Nothing distinguishes these calls from those of handlers: the oldest make way."""
        machine = watched(
            "ud2\n ret",
            f"{IDT} lidt idtr\n gate 6, handler\n movl ${MANY}, %ebx\n again: call memmap_get",
            "handler: subl $16, %esp\n decl %ebx\n jnz again\n exit 0",
        )
        assert machine.run(timeout_s=20).exit_value == 0
        assert lockstep_calls(machine) == LockstepCalls(compared=0, given_up=MANY)

    def test_inside_one_another(self) -> None:
        """There is an end to them, and it is said."""
        machine = watched("call memmap_get\n ret", "call memmap_get")
        with pytest.raises(
            UnsupportedFunction,
            match=r"^cannot watch memmap_get: 64 calls in lockstep go on inside one another$",
        ):
            machine.run(timeout_s=20)

    def test_with_interrupts_that_come_all_the_same(self) -> None:
        machine = watched(
            "ud2\n ret",
            f"{IDT} lidt idtr\n gate 6, handler\n {TIMER} call memmap_get",
            f"{ON_TICK} handler: movl $stack, %esp\n sti\n 1: cmpl $3, ticks\n jb 1b\n exit 0",
        )
        assert machine.run(max_instructions=10_000_000).exit_value == 0
        assert lockstep_calls(machine) == LockstepCalls(compared=0, given_up=1)

    def test_by_registers_that_are_set_lets_interrupts_in(self) -> None:
        outputs = []
        for mode in Mode.NATIVE, Mode.LOCKSTEP:
            machine = boot("firmware:btron_pools_wait", layers={"kmem": mode})
            with pytest.raises(BudgetUsedUp):
                machine.run(max_instructions=200_000)
            before = machine.cpu.registers()
            with pytest.raises(BudgetUsedUp):
                machine.call("kmem_alloc", 64, max_instructions=5)
            machine.cpu.set_registers(before)
            outcome = machine.run(max_instructions=20_000_000)
            outputs.append((outcome.exit_value, bytes(next(iter(machine.output.values())))))
        assert outputs[0][0] == 0
        assert outputs[0] == outputs[1]


class TestCallsThatGoOn:
    def test_over_the_end_of_a_budget(self, heap: Machine) -> None:
        first = lockstep_calls(heap)
        assert first is not None
        with pytest.raises(BudgetUsedUp):
            heap.call("kmalloc", 64, max_instructions=5)
        heap.run()
        assert lockstep_calls(heap) == (first.compared + 1, first.given_up)

    def test_from_a_snapshot_in_their_middle(self) -> None:
        """The pages that were written before the snapshot are still known."""
        right = "movl $5, memmap\n 1: nop\n jmp 2f\n 2: movl $0, memmap\n " + RIGHT
        machine = watched(right, "call memmap_get\n hlt")
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=5)
        snapshot = machine.snapshot()
        for _ in range(3):
            assert machine.run().ending is Returned.HALTED
            assert lockstep_calls(machine) == LockstepCalls(1, 0)
            snapshot.reset()
            assert lockstep_calls(machine) == LockstepCalls(0, 0)
        machine.memory.write(symbol(machine, "memmap_get") + 13, b"\x90" * 10)  # no second store
        machine.cpu.flush_code()
        location = f"0x{symbol(machine, 'memmap'):08x} memmap.start_addr"
        assert [each.place for each in differences(machine)] == [location]

    def test_as_recursion(self) -> None:
        recursive = "movl $memmap, %eax\n decl %ecx\n jz 1f\n call memmap_get\n 1: ret"
        machine = watched(recursive, "movl $10, %ecx\n call memmap_get\n hlt")
        machine.run(timeout_s=20)
        assert lockstep_calls(machine) == LockstepCalls(10, 0)


KEEPERS = {
    "ebx": ("movl $0x77, %ebx", ("EBX", "0x00000001", "0x00000077")),
    "esi": ("incl %esi", ("ESI", "0x00000002", "0x00000003")),
    "edi": ("decl %edi", ("EDI", "0x00000003", "0x00000002")),
    "ebp": ("movl $-1, %ebp", ("EBP", "0x00000004", "0xffffffff")),
    "IF": ("cli", ("IF", "1", "0")),
    "DF": ("std", ("DF", "0", "1")),
}


class TestWhatAFunctionKeeps:
    @pytest.mark.parametrize(("code", "expected"), KEEPERS.values(), ids=KEEPERS)
    def test_registers_and_flags(self, code: str, expected: tuple[str, str, str]) -> None:
        body = "movl $1, %ebx\n movl $2, %esi\n movl $3, %edi\n movl $4, %ebp\n sti\n call memmap_get"
        assert differences(watched(f"{code}\n {RIGHT}", body)) == (Difference(*expected),)

    @pytest.mark.parametrize(
        ("code", "moved"),
        {
            "ret $8": 8,
            "ret $0x100": 0x100,
            "popl %edx\n addl $4, %esp\n pushl %edx\n ret": 4,
            "popl %edx\n pushl %eax\n pushl %edx\n ret": -4,
        }.items(),
    )
    def test_the_stack_pointer(self, code: str, moved: int) -> None:
        machine = watched(f"movl $memmap, %eax\n {code}", "call memmap_get\n hlt\n hlt")
        stack = symbol(machine, "stack")
        assert differences(machine)[0] == Difference("ESP", f"0x{stack:08x}", f"0x{stack + moved:08x}")

    def test_what_it_may_change(self) -> None:
        code = "movl $7, %ecx\n movl $8, %edx\n stc\n" + RIGHT
        machine = watched(code, "sti\n std\n call memmap_get\n cli\n hlt")
        machine.run(max_instructions=100)
        assert lockstep_calls(machine) == LockstepCalls(1, 0)


# Paging with a directory at 0x200000; 4 MiB pages: 0x00000000 as it is, and 0x00400000 at 0x00400000.
PAGED = """
        movl    $0x83, 0x200000
        movl    $0x400083, 0x200004
        movl    $0x200000, %eax
        movl    %eax, %cr3
        movl    %cr4, %eax
        orl     $0x10, %eax
        movl    %eax, %cr4
        movl    %cr0, %eax
        orl     $0x80000000, %eax
        movl    %eax, %cr0
        call    memmap_get
"""


class TestBitsThatTheCpuSets:
    def test_are_nobodys_difference(self) -> None:
        """The function writes to the directory, and then touches 4 MiB that were not touched before."""
        machine = watched(
            "movl 0x200004, %eax\n movl %eax, 0x200004\n incl 0x400000\n decl 0x400000\n" + RIGHT, PAGED
        )
        machine.run(timeout_s=20)
        assert lockstep_calls(machine) == LockstepCalls(1, 0)
        assert machine.memory.load_u32(0x200004) == 0x4000E3

    def test_do_not_hide_other_bits_of_their_word(self) -> None:
        machine = watched("orl $0x200, 0x200004\n incl 0x400000\n decl 0x400000\n" + RIGHT, PAGED)
        assert differences(machine) == (
            Difference("0x00200004, bit 9", "0x00400083", "0x004002e3", 0x200004, 4),
        )

    def test_are_compared_where_the_cpu_did_not_set_them(self) -> None:
        machine = watched("orl $0x40, 0x200004\n" + RIGHT, PAGED)
        assert differences(machine) == (
            Difference("0x00200004, bit 6", "0x00400083", "0x004000c3", 0x200004, 4),
        )


def test_a_native_function_that_hangs_is_not_the_models_fault() -> None:
    machine = watched("1: testl %esp, %esp\n jnz 1b\n ret")
    with pytest.raises(BudgetUsedUp) as caught:
        machine.run(max_instructions=1000)
    assert str(caught.value).endswith(f"; {caught.value.remark}")
    assert caught.value.remark.startswith("in lockstep the model of memmap_get(), called from ")
    assert caught.value.remark.endswith(f", has returned 0x{symbol(machine, 'memmap'):08x}")


class TestTheStartOfTheKernel:
    def test_is_compared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LiteCore, "memory_init", lambda _self, _settings: None)
        machine = boot("firmware:demo", layers={"heap": "lockstep"})
        with pytest.raises(Divergence) as caught:
            machine.run(timeout_s=20)
        assert caught.value.call == "memory_init()"

    def test_reads_the_settings_of_the_boot_code(self) -> None:
        machine = boot(
            "firmware:demo", layers={"heap": "lockstep"}, command_line="heap=8192 ram=0x100000-0x300000"
        )
        assert machine.run(timeout_s=20).exit_value is not None

    def test_stays_the_kernels_own_where_the_layer_is_modelled(self) -> None:
        """Whoever records the calls that it makes still sees them."""
        machine = boot("firmware:demo", layers={"heap": "model", "memmap": "model"})
        recording = record(machine, [RecordedFunction("mem_init", 2), RecordedFunction("memmap_init", 2)])
        machine.run(timeout_s=20)
        assert [call.function for call in held_calls(recording)][:2] == ["memmap_init", "mem_init"]


def test_an_allocation_that_is_made_to_fail_inside_of_a_call_is_not_compared() -> None:
    """The model knows nothing of it."""
    machine = boot("firmware:btron_demo", layers={"pools": "lockstep"})
    record(machine, [RecordedFunction("kmem_alloc", 1, takes=True)])
    machine.run(timeout_s=20, stop_at_allocation=1)
    while machine.layers is not None and not machine.layers.open_call():
        machine.run(timeout_s=20, stop_at_allocation=1)
    machine.allocations.return_here(0)
    machine.run(timeout_s=20)
    calls = lockstep_calls(machine)
    assert calls is not None
    assert calls.given_up == 1


class TestWhoCalled:
    """Errors name the caller outside of memory management."""

    @pytest.mark.parametrize(
        ("kernel", "function", "files"),
        [
            (
                "paging_demo",
                "alloc_frame",
                {"paging_demo.c"},
            ),  # take_table < map_page < map_new_frame < vmalloc
            ("btron_demo", "kmem_alloc", {"btron_demo.c"}),  # get_from_kernel < mpl_get < get_blk
            ("btron_demo", "pmem_alloc", {"btron_demo.c", "task.c", "task_memory.c"}),  # grow < kmem_alloc
        ],
    )
    def test_past_the_helpers_of_memory_management(self, kernel: str, function: str, files: set[str]) -> None:
        machine = boot(f"firmware:{kernel}")
        bound, seen = Bound(machine, next(each for each in KERNELS if recognize(machine, [each]))), set()

        def entered(_kind: int, esp: int, eax: int) -> int:
            seen.add(caller_of(bound, esp, machine.registers().ebp))
            return eax

        with machine.observers.probe(symbol(machine, function), entered):
            machine.run(timeout_s=60)
        places = {each.split("/")[-1].split(":")[0] for each in seen}
        assert places - {"boot.c"} == files

    def test_of_pools(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(VariablePools, "create", lambda _self, _number, _packet: None)
        machine = boot("firmware:btron_demo", layers={"pools": "lockstep"})
        with pytest.raises(Divergence) as caught:
            machine.run(timeout_s=20)
        assert "firmware/scenarios/btron_demo.c:" in caught.value.location

    def test_and_results_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_self: VariablePools, _number: int, _packet: int) -> None:
            raise BtronError(Error.E_PAR)

        monkeypatch.setattr(VariablePools, "create", refuse)
        machine = boot("firmware:btron_demo", layers={"pools": "lockstep"})
        with pytest.raises(Divergence) as caught:
            machine.run(timeout_s=20)
        assert caught.value.differences[0] == Difference("result", "E_PAR", "E_ID")


def wrong(machine: Machine, function: str, code: str) -> None:
    """Let a function of the kernel begin with other code, in hexadecimal, which goes on to its last `ret`."""
    entry = machine.image.symbols[function]
    end = find_own_exits(machine.image, entry)[-1]
    physical = machine.image.physical(entry.address)
    data = bytes.fromhex(code)
    if len(data) > end - entry.address:
        raise ValueError(f"{function} has no room for {len(data)} bytes")
    machine.memory.write(physical, data.ljust(end - entry.address, b"\x90"))
    machine.cpu.flush_code()


WRONG = {  # code -> what differs after memmap_free_count, which keeps all and writes nothing
    "bb 77000000": "EBX: expected 0x00000001, actual 0x00000077",
    "be 77000000": "ESI: expected 0x00000002, actual 0x00000077",
    "bf 77000000": "EDI: expected 0x00000003, actual 0x00000077",
    "bd 77000000": "EBP: expected 0x00000004, actual 0x00000077",
    "fd": "DF: expected 0, actual 1",
    "fa": "IF: expected 1, actual 0",
}


@pytest.mark.parametrize(("code", "line"), WRONG.items(), ids=[line.split(":")[0] for line in WRONG.values()])
def test_a_wrong_function_of_a_real_kernel_is_named_with_what_it_did_not_keep(code: str, line: str) -> None:
    machine = boot("firmware:demo")
    machine.run(timeout_s=20)
    machine.call("memory_init")
    attach_layers(machine, {"memmap": Mode.LOCKSTEP})
    count = machine.call("memmap_free_count")
    wrong(machine, "memmap_free_count", f"{code} b8" + count.to_bytes(4, "little").hex())
    before = machine.cpu.registers()
    machine.cpu.set_registers(before._replace(ebx=1, esi=2, edi=3, ebp=4, eflags=before.eflags | 0x200))
    with pytest.raises(Divergence) as caught:
        machine.call("memmap_free_count")
    assert [str(each) for each in caught.value.differences] == [line]


@pytest.mark.parametrize(
    ("function", "code", "line"),
    [
        ("mpl_delete", "b8 dfffffff", "result: expected E_NOEXS, actual E_PAR"),
        ("mpl_delete", "31 c0", "result: expected E_NOEXS, actual E_OK"),
        ("mpf_delete", "b8 cccccccc", "result: expected E_NOEXS, actual 0xcccccccc"),
    ],
)
def test_wrong_errors_are_named(function: str, code: str, line: str) -> None:
    machine = boot("firmware:btron_demo")
    machine.run(timeout_s=20)
    attach_layers(machine, {"pools": Mode.LOCKSTEP})
    wrong(machine, function, code)
    with pytest.raises(Divergence) as caught:
        machine.call(function, 99)
    assert [str(each) for each in caught.value.differences] == [line]


def test_every_call_that_answers_an_error_has_names_for_it() -> None:
    functions: dict[str, Function] = {}
    for name in ("btron_demo", "vm_demo"):
        machine = boot(f"firmware:{name}")
        kernel = next(each for each in KERNELS if recognize(machine, [each]))
        functions |= Bound(machine, kernel).models(machine.memory).functions
    errors = [each for each in functions.values() if each.signature.startswith("ER ")]
    assert len(errors) > 20
    assert [each.name for each in errors if each.show(0xFFFF_FFDF) != "E_PAR"] == []


def test_exactly_the_bytes_that_differ_are_named() -> None:
    """Frame 285 is in the fourth byte of its word of the bitmap."""
    machine = boot("firmware:demo")
    machine.run(timeout_s=20)
    machine.call("memory_init")
    attach_layers(machine, {"memmap": Mode.LOCKSTEP})
    fields = machine.memory.load_words(symbol(machine, "memmap"), 5)
    byte = fields[4] + (285 - fields[2]) // 8
    address = symbol(machine, "free_frame")
    code = (
        b"\x80\x35" + byte.to_bytes(4, "little") + b"\x20\x83\xc8\xff\xc3"
    )  # xorb $0x20, byte; orl $-1, %eax; ret
    exits = find_own_exits(machine.image, machine.image.symbols["free_frame"])
    machine.memory.write(address, code[:-1].ljust(exits[0] - address, b"\x90"))
    machine.cpu.flush_code()
    with pytest.raises(Divergence) as caught:
        machine.call("free_frame", 0)
    before = machine.memory.load_u8(byte) ^ 0x20
    location = f"0x{byte:08x} bitmap byte {byte - fields[4]} (frames 280..287), bit 5 (frame 285)"
    assert caught.value.differences == (
        Difference(location, f"0x{before:02x}", f"0x{before ^ 0x20:02x}", byte, 1),
    )


MODES = list(Mode)


def which_runs(machine: Machine) -> Mode:
    """Native code and model answer differently here, so that one sees which of them does."""
    try:
        answer = machine.call("memmap_get")
    except Divergence:
        return Mode.LOCKSTEP
    return Mode.NATIVE if answer == 0x1234 else Mode.MODEL


@pytest.fixture
def odd() -> Machine:
    machine = tiny_litecore("movl $0x1234, %eax\n ret")
    machine.run()
    return machine


class TestChangesOfMode:
    @pytest.mark.parametrize("first", MODES)
    @pytest.mark.parametrize("second", MODES)
    @pytest.mark.parametrize("third", MODES)
    def test_in_every_direction(self, odd: Machine, first: Mode, second: Mode, third: Mode) -> None:
        for mode in (first, second, third, first):
            attach_layers(odd, {"memmap": mode})
            assert which_runs(odd) is mode

    @pytest.mark.parametrize("first", MODES)
    @pytest.mark.parametrize("second", MODES)
    def test_are_taken_back_by_a_snapshot(self, odd: Machine, first: Mode, second: Mode) -> None:
        attach_layers(odd, {"memmap": first})
        outer = odd.snapshot()
        attach_layers(odd, {"memmap": second})
        inner = odd.snapshot()
        attach_layers(odd, {"memmap": first})
        assert which_runs(odd) is first
        inner.reset()
        assert which_runs(odd) is second
        outer.reset()
        assert which_runs(odd) is first
        attach_layers(odd, {"memmap": second})
        assert which_runs(odd) is second

    @pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
    def test_a_snapshot_from_before_any_layer_was_attached(self, odd: Machine, mode: Mode) -> None:
        snapshot = odd.snapshot()
        attach_layers(odd, {"memmap": mode})
        snapshot.reset()
        assert which_runs(odd) is Mode.NATIVE
        attach_layers(odd, {"memmap": mode})
        assert which_runs(odd) is mode

    def test_a_refused_change_changes_nothing(self) -> None:
        machine = tiny_litecore("movl $0x1234, %eax\n ret\n .skip 4\n jmp memmap_init")
        attach_layers(machine, {"memmap": Mode.MODEL})
        machine.run()
        for modes in (
            {"memmap": Mode.NATIVE, "heap": Mode.MODEL},
            {"heap": Mode.LOCKSTEP, "memmap": Mode.NATIVE},
        ):
            with pytest.raises(EmulatorError):
                attach_layers(machine, modes)
            assert which_runs(machine) is Mode.MODEL

    def test_in_the_middle_of_a_call_gives_it_up(self) -> None:
        machine = watched("nop\n nop\n movl $0x1234, %eax\n ret", "call memmap_get\n hlt")
        with pytest.raises(BudgetUsedUp):
            machine.run(max_instructions=3)
        attach_layers(machine, {"memmap": Mode.NATIVE})
        assert machine.run().ending is Returned.HALTED
        assert lockstep_calls(machine) == LockstepCalls(0, 1)

    def test_a_model_inside_of_a_call_that_came_later_into_lockstep(self) -> None:
        """`memory_init` in lockstep calls functions of a layer that was modelled before: their writes count."""
        machine = boot("firmware:demo", layers={"memmap": "model"})
        attach_layers(machine, {"heap": Mode.LOCKSTEP})
        assert machine.run(timeout_s=20).exit_value == 0


def test_machines_without_lockstep_have_no_calls_in_it() -> None:
    machine = tiny_litecore(RIGHT)
    assert lockstep_calls(machine) is None
    attach_layers(machine, {"memmap": Mode.MODEL})
    assert lockstep_calls(machine) is None
    attach_layers(machine, {"memmap": Mode.LOCKSTEP})
    assert lockstep_calls(machine) == LockstepCalls(0, 0)
