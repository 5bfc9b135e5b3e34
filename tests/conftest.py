"""What holds for all tests."""

from __future__ import annotations

import gc
import signal
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


_OF_RETURN_ADDRESSES: Final = ("test_return_addresses.py", "test_hostile_guests.py")


def pytest_configure() -> None:
    """Let SIGHUP end what tests run, also under ``nohup``, which has it ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with tests of return addresses: in a process that keeps a machine, of whatever test, no other one marks them."""
    items.sort(
        key=lambda item: item.path.name not in _OF_RETURN_ADDRESSES and not item.name.endswith("[bad_return]")
    )


def pytest_collection_finish() -> None:
    """Leave what all tests are made of, half a million objects, out of the collections of garbage to come: it stays until the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _dropped_machines_are_collected() -> Iterator[None]:
    """Let each machine that is checked be where checks are fast, and mark return addresses: where others that are gone are still, it cannot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "emulator.machine.core.checked_accesses._DroppedMachines.note", lambda _self, _core: None
        )
        yield


def pytest_runtest_teardown(item: pytest.Function, nextitem: pytest.Function | None) -> None:
    """Let go of the machines that functions of a module have kept, when its tests have run."""
    module = item.module
    if nextitem is not None and nextitem.module is module:
        return
    for each in vars(module).values():
        if hasattr(each, "cache_clear") and each.__module__ == module.__name__:
            each.cache_clear()
