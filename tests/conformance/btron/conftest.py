"""The subjects of the conformance suite of BTRON/386: every contract of spec 2.2 to 2.4 is tested on each of them."""

from __future__ import annotations

import pytest

from tests.conformance.btron.subjects import FirmwareSubject, Guest, ModelSubject, Subject


@pytest.fixture(scope="session")
def model() -> Subject:
    return ModelSubject()


@pytest.fixture(scope="session")
def firmware() -> Subject:
    return FirmwareSubject()


@pytest.fixture(params=["model", "firmware"])
def bare(request: pytest.FixtureRequest) -> Guest:
    """Return a kernel before `pmem_init`, with cleared globals."""
    subject: Subject = request.getfixturevalue(request.param)
    subject.reset()
    return Guest(subject)


@pytest.fixture
def guest(bare: Guest) -> Guest:
    """Return a kernel that manages 64 pages, of which the byte layer owns none yet."""
    bare.boot()
    return bare
