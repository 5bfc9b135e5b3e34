"""What brings memory management up is in lockstep, too: there a heap can be put over what must not be written to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from emulator import boot
from emulator.errors import ModelStopped
from emulator.hle.layers import Mode, lockstep_calls
from emulator.hle.lockstep import Divergence
from kernel_model.btron.kmem import Kmem
from kernel_model.btron.pmem import Pmem
from kernel_model.btron.tasks import Tasks
from kernel_model.litecore.heap import Heap
from kernel_model.litecore.memmap import Memmap
from tests.helpers.guest import symbol

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

LITECORE, BTRON = "firmware:demo", "firmware:btron_demo"
ROUND_UP = bytes.fromhex("05 ff0f0000")  # addl $0xfff, %eax


@pytest.mark.parametrize(
    ("kernel", "layer", "model", "call"),
    [
        (LITECORE, "memmap", Memmap, "memmap_init(0x00100000, 0x00500000)"),
        (LITECORE, "heap", Heap, "memory_init()"),
        (BTRON, "pmem", Pmem, "pmem_init()"),
        (BTRON, "kmem", Kmem, "kmem_init()"),
        (BTRON, "pools", Tasks, "tasks_init()"),
    ],
)
def test_each_has_a_model_beside_it(
    kernel: str, layer: str, model: type, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise IndexError("the model was asked")

    monkeypatch.setattr(model, "init", fail)
    machine = boot(kernel, layers={layer: "lockstep"})
    with pytest.raises(
        ModelStopped, match=rf"^model of {re.escape(call)}, called from .*: the model was asked"
    ):
        machine.run(timeout_s=20)


@pytest.mark.parametrize(
    ("kernel", "layers"), [(LITECORE, ("memmap", "heap")), (BTRON, ("pmem", "kmem", "pools"))]
)
@pytest.mark.parametrize("mode", [Mode.MODEL, Mode.LOCKSTEP])
def test_all_are_right(kernel: str, layers: tuple[str, ...], mode: Mode) -> None:
    machine = boot(kernel, layers=dict.fromkeys(layers, mode))
    assert machine.run(timeout_s=20).exit_value == 0
    calls = lockstep_calls(machine)
    assert calls is None or calls.given_up == 0


def with_a_heap_over_the_bitmap() -> Machine:
    """The heap begins in the page in which the bitmap ends, as if somebody had rounded down."""
    machine = boot(LITECORE, layers={"heap": "lockstep"})
    function = machine.image.symbols["round_up_to_frame"]
    at = function.address + machine.memory.read(function.address, function.size).index(ROUND_UP)
    machine.memory.write(at + 1, bytes(4))
    machine.cpu.flush_code()
    return machine


def test_a_heap_over_the_bitmap_is_seen_at_once() -> None:
    machine = with_a_heap_over_the_bitmap()
    with pytest.raises(Divergence) as caught:
        machine.run(timeout_s=20)
    assert caught.value.call == "memory_init()"
    assert "litecore/boot.c:" in caught.value.location
    start = symbol(machine, "heap_start")
    bitmap = machine.memory.load_u32(symbol(machine, "memmap") + 16)
    by_name = {each.place: each for each in caught.value.differences}
    difference = by_name[f"0x{start:08x} heap_start"]
    right, wrong = int(difference.expected, 16), int(difference.actual, 16)
    assert wrong <= bitmap < right == wrong + 4096
    report = str(caught.value).splitlines()
    assert report[0].startswith("lockstep divergence in memory_init(), called from litecore_boot+")
    assert f"  0x{start:08x} heap_start: expected 0x{right:08x}, actual 0x{wrong:08x}" in report
