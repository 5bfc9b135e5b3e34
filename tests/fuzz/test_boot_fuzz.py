"""Damaged kernels are booted: they end, in one of the documented ways, whatever they execute."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.errors import EmulatorError
from emulator.loader import builtin
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine

DEMO = Path(builtin.resolve("firmware:demo")).read_bytes()
BUDGET = 200_000  # instructions: more than demo takes

patches = st.lists(
    st.tuples(st.integers(0, len(DEMO) - 1), st.binary(min_size=1, max_size=16)), min_size=1, max_size=8
)


def ends(machine: Machine) -> bool:
    """Run to the end or to an error whose text is one line."""
    try:
        machine.run(max_instructions=BUDGET, timeout_s=20)
    except EmulatorError as error:
        return "\n" not in str(error)
    return True


def boots_and_ends(data: bytes) -> bool:
    """The same for a file, which may be refused."""
    try:
        machine = Machine(KernelImage(data, "damaged.elf"))
    except EmulatorError as error:
        return "\n" not in str(error)
    return ends(machine)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(patches)
def test_a_file_damaged_anywhere(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(DEMO)
    for offset, new in changes:
        data[offset : offset + len(new)] = new[: len(data) - offset]
    assert boots_and_ends(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0x1000, 0x4000), st.binary(min_size=4, max_size=64))
def test_code_damaged_anywhere(offset: int, code: bytes) -> None:
    data = bytearray(DEMO)
    data[offset : offset + len(code)] = code
    assert boots_and_ends(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=1, max_size=256))
def test_any_bytes_at_the_entry(code: bytes) -> None:
    image = KernelImage(DEMO, "damaged.elf")
    machine = Machine(image)
    machine.memory.write(image.physical_entry, code)
    assert ends(machine)
