"""The subjects of the conformance suite of BTRON/386: every contract of spec 2.2 to 2.5 is tested on each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.btron.subjects import FirmwareSubject, Guest, ModelSubject, Subject
from tests.conformance.btron.user_space import make_spaces

if TYPE_CHECKING:
    from emulator.testing import Kernel


@pytest.fixture
def model() -> Subject:
    return ModelSubject()


@pytest.fixture
def firmware(kernel: Kernel) -> Subject:
    return FirmwareSubject(kernel.machine)


FIRMWARE: Final = pytest.mark.kmemu(kernel="firmware:btron_demo", walk_heap=False, check=False)


@pytest.fixture(params=["model", pytest.param("firmware", marks=FIRMWARE)])
def bare(request: pytest.FixtureRequest) -> Guest:
    """Return a kernel before `pmem_init`, with cleared globals."""
    subject: Subject = request.getfixturevalue(request.param)
    return Guest(subject)


@pytest.fixture
def guest(bare: Guest) -> Guest:
    """Return a kernel that manages 64 pages, of which the byte layer owns none yet."""
    bare.boot()
    return bare


@pytest.fixture
def spaces(guest: Guest) -> Guest:
    """Return a kernel with the tasks of `tests.conformance.btron.user_space`."""
    make_spaces(guest)
    return guest
