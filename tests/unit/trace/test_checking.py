"""Accesses are checked by what a profile says of allocators."""

from __future__ import annotations

import pytest

from emulator.loader.builtin import resolve
from emulator.loader.image import KernelImage
from emulator.machine.machine import Machine
from emulator.profile.known import matching_profile
from emulator.trace.checking import check_accesses
from emulator.trace.recording import CallLog


def test_accesses_are_checked_once_and_while_calls_are_recorded() -> None:
    image = KernelImage.read(resolve("firmware:demo"))
    machine, profile = Machine(image), matching_profile(image)
    with pytest.raises(ValueError, match="no calls are recorded, or accesses are checked already"):
        check_accesses(machine, profile)
    CallLog(machine, profile)
    with check_accesses(machine, profile) as checked:
        with pytest.raises(ValueError, match="no calls are recorded, or accesses are checked already"):
            check_accesses(machine, profile)
        machine.run(timeout_s=60)
        assert not checked.seen().missed
    with check_accesses(machine, profile):
        pass
    reference = Machine(image, mmu="reference")
    CallLog(reference, profile)
    with pytest.raises(ValueError, match="not checked with the reference MMU"):
        check_accesses(reference, profile)
