"""Call stacks of recorded calls in kernels that gcc made, with and without frame pointers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.machine.machine import Machine
from emulator.machine.recording import RecordedFunction, record
from tests.helpers.call_stack_kernels import WAYS, compile_with
from tests.helpers.recorded import held_calls

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.loader.image import KernelImage


@pytest.fixture(params=WAYS, ids=str)
def image(request: pytest.FixtureRequest, tmp_path: Path) -> KernelImage:
    return compile_with(request.param, tmp_path)


def test_every_frame_is_found(image: KernelImage) -> None:
    machine = Machine(image)
    recording = record(machine, [RecordedFunction("allocate", 1), RecordedFunction("outer_allocate", 1)])
    machine.run(timeout_s=10)
    calls = held_calls(recording)
    assert [call.arguments for call in calls if call.function == "outer_allocate"] == [
        (4,),
        (1,),
        (8,),
        (2,),
        (12,),
        (3,),
    ]
    assert [(call.depth, call.function) for call in calls] == [(0, "outer_allocate"), (1, "allocate")] * 6
    for call in calls:
        frames = recording.stack(call.stack)
        found = [image.function_at(frame - 1) for frame in frames]
        names = [function[0].name for function in found if function is not None]
        inner = ["outer_allocate"] if call.depth else []
        assert names == [*inner, "third", "second", "first", "kmain", "_start"]


def test_what_a_function_calls_that_python_has_called_is_inside_of_it(image: KernelImage) -> None:
    machine = Machine(image)
    stack = machine.ram.end - 0x1000
    machine.cpu.set_registers(machine.registers()._replace(esp=stack, ebp=0))
    recording = record(machine, [RecordedFunction("allocate", 1), RecordedFunction("outer_allocate", 1)])
    machine.call("outer_allocate", 3)
    found = [(call.depth, call.parent, call.function) for call in held_calls(recording)]
    assert found == [(0, 0, "outer_allocate"), (1, 1, "allocate")]
