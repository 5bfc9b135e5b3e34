"""The three ways to run a layer: what they must leave alike, and what they must find."""

from __future__ import annotations

import pytest

from emulator.errors import KernelMismatch, ModelStopped, UnknownName
from emulator.hle.differences import Difference
from emulator.hle.kernels import find_btron, find_litecore, layer_names
from emulator.hle.layers import Mode, attach_layers
from emulator.hle.lockstep import Divergence
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.code.exits import find_exits
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.memmap import Memmap
from tests.helpers.guest import machine_of
from tests.helpers.kernels import BTRON, LITECORE

RET = 0xC3


def boot(kernel: str, command_line: str = "", **modes: Mode) -> Machine:
    machine = Machine(KernelImage.read(builtin.resolve(f"firmware:{kernel}")), command_line=command_line)
    attach_layers(machine, modes)
    return machine


def managed_ram(machine: Machine) -> bytes:
    """The managed window, without the stacks (models use none) and the patched first bytes of functions."""
    ram = bytearray(machine.memory.read(machine.ram.start, machine.ram.size))
    stack = machine.image.symbols["boot_stack"]
    first = machine.image.physical(stack.address) - machine.ram.start
    ram[first : first + stack.size] = bytes(stack.size)
    models = find_litecore(machine) or find_btron(machine)
    assert models is not None
    for name in models.functions:
        ram[machine.image.physical(machine.image.symbols[name].address) - machine.ram.start] = RET
    return bytes(ram)


LITECORE_KERNELS = sorted(LITECORE)
BTRON_KERNELS = sorted(BTRON)


@pytest.fixture
def heap() -> Machine:
    """A kernel after memory_init, its heap in lockstep."""
    machine = boot("demo", heap=Mode.LOCKSTEP)
    machine.call("memory_init")
    return machine


@pytest.mark.parametrize("kernel", LITECORE_KERNELS)
@pytest.mark.parametrize("memmap", Mode)
@pytest.mark.parametrize("heap", Mode)
def test_every_way_to_run_litecore_ends_alike(kernel: str, memmap: Mode, heap: Mode) -> None:
    arguments = "calls=1000" if kernel == "stress" else ""
    native = boot(kernel, arguments)
    chosen = boot(kernel, arguments, memmap=memmap, heap=heap)
    assert native.run()[:3] == chosen.run()[:3]  # a model executes fewer instructions
    assert native.output == chosen.output
    assert managed_ram(native) == managed_ram(chosen)


@pytest.mark.parametrize("kernel", BTRON_KERNELS)
@pytest.mark.parametrize("pmem", Mode)
@pytest.mark.parametrize("kmem", Mode)
@pytest.mark.parametrize("pools", Mode)
def test_every_way_to_run_btron_ends_alike(kernel: str, pmem: Mode, kmem: Mode, pools: Mode) -> None:
    """Tasks' stacks keep what native code left there, and models take no time, so RAM is not compared here."""
    arguments = {"btron_stress": "calls=500", "vm_churn": "calls=20"}.get(kernel, "")
    native = boot(kernel, arguments)
    chosen = boot(kernel, arguments, pmem=pmem, kmem=kmem, pools=pools)
    assert native.run(timeout_s=60).exit_value == chosen.run(timeout_s=60).exit_value == 0
    assert native.output == chosen.output


def test_a_model_takes_over_in_the_middle_of_a_run() -> None:
    machine = boot("demo")
    machine.call("memory_init")
    first = machine.call("kmalloc", 100)
    attach_layers(machine, {"heap": Mode.MODEL, "memmap": Mode.MODEL})
    second = machine.call("kmalloc", 100)
    assert second == first + 104 + 8
    machine.call("kfree", first)
    assert machine.call("kmalloc", 8) == first


def test_a_modelled_function_runs_no_code_of_the_guest() -> None:
    machine = boot("demo", heap=Mode.MODEL)
    machine.call("memory_init")
    address = machine.image.symbols["kmalloc"].address
    machine.memory.write(address + 1, b"\x0f\x0b" * 8)  # ud2
    assert machine.call("kmalloc", 8) != 0


def test_a_modelled_kfree_prints_as_the_native_one_does() -> None:
    texts = []
    for mode in Mode:
        machine = boot("demo", heap=mode)
        machine.call("memory_init")
        machine.call("kfree", 0x0010A009)
        texts.append(bytes(machine.output[Console.SERIAL]))
    assert texts == [b"kfree: not allocated: 0x0010a009\n"] * 3


class TestDivergence:
    def test_a_wrong_result(self, heap: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        address = heap.call("kmalloc", 8)
        heap.call("kfree", address)
        monkeypatch.setattr(Heap, "has_space", lambda _self, _size: False)
        with pytest.raises(Divergence) as caught:
            heap.call("mem_has_space", 0, 8)
        assert caught.value.differences == (Difference("result", "0x00", "0x01"),)
        assert caught.value.call == "mem_has_space(0x00000000, 0x00000008)"

    def test_a_word_that_the_model_writes_otherwise(
        self, heap: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kmalloc = Heap.kmalloc

        def wrong(self: Heap, size: int) -> int:
            address = kmalloc(self, size)
            self._memory.store_u32(address - 8, size + 8)
            return address

        monkeypatch.setattr(Heap, "kmalloc", wrong)
        start = heap.memory.load_u32(heap.image.symbols["heap_start"].address)
        broken = boot("demo", heap=Mode.LOCKSTEP)
        broken.call("memory_init")
        with pytest.raises(Divergence) as caught:
            broken.call("kmalloc", 64)
        location = f"0x{start:08x} heap block 0x{start:08x} .size"
        assert caught.value.differences == (Difference(location, "0x00000048", "0x00000040", start, 4),)
        assert caught.value.number == 3  # the first were memory_init and mem_init in it
        assert str(caught.value).splitlines() == [
            f"lockstep divergence in kmalloc(0x00000040), called from 0x{0x9FD00:08x}, call 3 in lockstep",
            f"  {location}: expected 0x00000048, actual 0x00000040",
        ]

    def test_a_byte_that_only_the_native_code_writes(self) -> None:
        """The guest's memmap_reserve marks one frame more than the model."""
        machine = boot("demo")
        machine.call("memory_init")
        attach_layers(machine, {"memmap": Mode.LOCKSTEP})
        bitmap = machine.memory.load_u32(machine.image.symbols["memmap"].address + 16)
        code = b"\x80\x0d" + (bitmap + 12).to_bytes(4, "little") + b"\x02\xc3"  # orb $2, bitmap+12; ret
        exits = find_exits(machine.image, machine.image.symbols["alloc_frame"]).returns
        address = machine.image.symbols["alloc_frame"].address
        size = exits[0] - address
        machine.memory.write(
            address, (code[:-1] + b"\x31\xc0").ljust(size, b"\x90")
        )  # ... xor %eax, %eax; nops; ret
        machine.cpu.flush_code()
        with pytest.raises(Divergence) as caught:
            machine.call("alloc_frame")
        locations = [each.place for each in caught.value.differences]
        assert locations[0] == "result"
        assert f"0x{bitmap + 12:08x} bitmap byte 12 (frames 352..359), bit 1 (frame 353)" in locations

    def test_text_that_only_the_native_code_prints(
        self, heap: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Heap, "kfree", lambda _self, _pointer: None)
        fresh = boot("demo", heap=Mode.LOCKSTEP)
        fresh.call("memory_init")
        with pytest.raises(Divergence) as caught:
            fresh.call("kfree", 3)
        assert [each.place.split()[-1] for each in caught.value.differences] == [
            "heap_error_count",
            "console",
        ]
        assert heap.output[Console.SERIAL] == b""

    def test_names_function_file_and_line_of_the_caller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Memmap, "alloc_frame", lambda _self: 7)
        machine = boot("demo", memmap=Mode.LOCKSTEP)
        with pytest.raises(Divergence) as caught:
            machine.run()
        assert "firmware/scenarios/demo.c:" in caught.value.location


class TestErrors:
    def test_an_unknown_layer(self) -> None:
        with pytest.raises(
            UnknownName,
            match=r"^no layer 'haep'; there are: memmap, heap, paging, vspace, pmem, kmem, pools, regions$",
        ):
            attach_layers(boot("demo"), {"haep": Mode.MODEL})

    @pytest.mark.parametrize("layer", layer_names())
    @pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
    def test_a_kernel_without_the_symbols(self, layer: str, mode: Mode) -> None:
        with pytest.raises(KernelMismatch, match=rf"^guest\.elf: layer {layer} needs the missing symbols "):
            attach_layers(machine_of("hlt"), {layer: mode})

    def test_native_needs_no_symbols(self) -> None:
        attach_layers(machine_of("hlt"), dict.fromkeys(layer_names(), Mode.NATIVE))

    def test_lockstep_on_the_reference_mmu(self) -> None:
        machine = Machine(KernelImage.read(builtin.resolve("firmware:demo")), mmu="reference")
        with pytest.raises(ValueError, match=r"^lockstep needs kmemu's MMU, not the reference$"):
            attach_layers(machine, {"heap": Mode.LOCKSTEP})

    @pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
    def test_a_held_lock_is_no_endless_wait(self, mode: Mode) -> None:
        machine = boot("demo", heap=mode)
        machine.call("memory_init")
        machine.memory.store_u32(machine.image.symbols["heap_lock"].address, 1)
        with pytest.raises(
            ModelStopped, match=r"^model of kmalloc\(0x00000008\), called from 0x0009fd00: the spin lock"
        ):
            machine.call("kmalloc", 8)

    def test_find_litecore_in_a_kernel_without_it(self) -> None:
        assert find_litecore(machine_of("hlt")) is None
        assert find_btron(machine_of("hlt")) is None
