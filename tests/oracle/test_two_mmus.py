"""The fast MMU and the reference MMU: every scenario kernel ends the same under both."""

from __future__ import annotations

from typing import Literal

import pytest

from emulator.errors import GuestStopped
from emulator.loader.builtin import KERNELS, resolve
from emulator.loader.image import KernelImage
from emulator.machine.consoles import Console
from emulator.machine.machine import Machine
from tests.helpers.kernels import EXITING_DEFECTS, is_btron
from tests.helpers.recorded import WholeRecording

ALLOCATORS = ("kmalloc", "kfree", "alloc_frame", "alloc_frames", "free_frame", "free_frames")
BTRON_ALLOCATORS = ("pmem_alloc", "pmem_free", "kmem_alloc", "kmem_free", "mpl_get", "mpl_release")
COMMAND_LINES = {"stress": "calls=40000", "btron_stress": "calls=5000", "vm_churn": "calls=100"}

READS_NOTHING = "bad_wild_access"


def ended(name: str, mmu: Literal["fast", "reference"]) -> dict[str, object]:
    command_line = COMMAND_LINES.get(name, "")
    machine = Machine(KernelImage.read(resolve(f"firmware:{name}")), command_line=command_line, mmu=mmu)
    recorded = WholeRecording(machine, BTRON_ALLOCATORS if is_btron(name) else ALLOCATORS)
    outcome = machine.run(timeout_s=60)
    return {
        "exit code": outcome.exit_code,
        "eip": outcome.eip,
        "registers": machine.cpu.registers(),
        "text": [bytes(machine.output[console]) for console in Console],
        "calls": recorded.with_stacks(),
        "memory": machine.memory.read(0, len(machine.memory)),
    }


@pytest.mark.parametrize(
    "name",
    [*KERNELS, *(name for name in EXITING_DEFECTS if name != READS_NOTHING)],
)
def test_both_mmus_end_alike(name: str) -> None:
    fast, reference = ended(name, "fast"), ended(name, "reference")
    for what, value in fast.items():
        assert value == reference[what], what
    assert fast["calls"]


def test_unicorns_own_mmu_ends_where_nothing_is() -> None:
    assert ended(READS_NOTHING, "fast")["exit code"] == 1
    with pytest.raises(GuestStopped, match=r"Invalid memory read \(UC_ERR_READ_UNMAPPED\) at arena_take"):
        ended(READS_NOTHING, "reference")
