from __future__ import annotations

import subprocess
import sys

import pytest

import emulator
from emulator import BoardSettings, Console, Mode, RamWindow, boot
from emulator.errors import UnknownName


def test_every_public_name_is_there() -> None:
    assert all(getattr(emulator, name) is not None for name in emulator.__all__)


def test_importing_the_package_imports_nothing_else() -> None:
    script = (
        "import sys; before = set(sys.modules); import emulator; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split("'") if name.startswith("emulator")}
    assert loaded == {"emulator"}


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match=r"^module 'emulator' has no attribute 'nonsense'$"):
        _ = emulator.nonsense  # type: ignore[attr-defined]


def test_the_settings_of_the_board_reach_its_devices() -> None:
    machine = boot(board=BoardSettings(rtc_start_s=0))
    machine.ports.write(0x70, 1, 9)
    assert machine.ports.read(0x71, 1) == 0x70


def test_a_machine_of_a_built_in_kernel_is_ready_to_run() -> None:
    printed: list[tuple[Console, bytes]] = []
    machine = boot(
        "firmware:demo",
        ram=RamWindow(0x100000, 0x300000),
        layers={"memmap": Mode.MODEL, "heap": "lockstep"},
        command_line="heap=8192",
        on_output=lambda console, data: printed.append((console, data)),
    )
    assert printed == []
    assert machine.run(timeout_s=20).exit_value == 0
    text = b"".join(data for console, data in printed if console is Console.SERIAL)
    assert b"managed memory 0x00100000-0x00300000" in text
    assert b"8192 bytes" in text


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(UnknownName):
        boot("firmware:none")
    with pytest.raises(UnknownName):
        boot(layers={"none": "model"})
    with pytest.raises(ValueError, match=r"^'sideways' is not a valid Mode$"):
        boot(layers={"heap": "sideways"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"^'multiboot3' is no boot protocol$"):
        boot(protocol="multiboot3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^'slow' is no MMU$"):
        boot(mmu="slow")  # type: ignore[arg-type]
