"""Damaged kernels are booted: they end, in one of the documented ways, whatever they execute."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.boot import builtin
from emulator.boot.image import KernelImage
from emulator.errors import EmulatorError
from emulator.machine.machine import Machine, Outcome

DEMO = builtin.resolve("firmware:demo").read_bytes()
BUDGET = 200_000  # instructions: more than demo takes

patches = st.lists(
    st.tuples(st.integers(0, len(DEMO) - 1), st.binary(min_size=1, max_size=16)), min_size=1, max_size=8
)


def boot(data: bytes) -> Outcome | EmulatorError:
    """Boot a file to its end or its error; an error's text is one line."""
    try:
        machine = Machine(KernelImage(data, "damaged.elf"))
        return machine.run(max_instructions=BUDGET, timeout_s=20)
    except EmulatorError as error:
        assert "\n" not in str(error)
        return error


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(patches)
def test_a_file_damaged_anywhere(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(DEMO)
    for offset, new in changes:
        data[offset : offset + len(new)] = new[: len(data) - offset]
    boot(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0x1000, 0x4000), st.binary(min_size=4, max_size=64))
def test_code_damaged_anywhere(offset: int, code: bytes) -> None:
    data = bytearray(DEMO)
    data[offset : offset + len(code)] = code
    boot(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(min_size=1, max_size=256))
def test_any_bytes_at_the_entry(code: bytes) -> None:
    image = KernelImage(DEMO, "damaged.elf")
    machine = Machine(image)
    machine.memory.write(image.physical_entry, code)
    try:
        machine.run(max_instructions=BUDGET, timeout_s=20)
    except EmulatorError as error:
        assert "\n" not in str(error)
