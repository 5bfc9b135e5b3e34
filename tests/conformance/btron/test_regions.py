"""Spec 2.5: the contracts of address spaces and regions, and the bytes that they leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.conformance.btron.conftest import FIRMWARE
from tests.conformance.btron.subjects import PAGE, SCRATCH

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

pytestmark = pytest.mark.parametrize("bare", [pytest.param("firmware", marks=FIRMWARE)], indirect=True)

E_OK = 0
READ, WRITE, USER = 1, 2, 0x10000
TASK: Final = 2
DATA: Final = 0x0040_0000
BUFFER: Final = SCRATCH + 0x800


@pytest.fixture
def spaces(guest: Guest) -> Guest:
    """Return a kernel with task 2, which has an empty address space."""
    guest.add_task(TASK)
    assert guest.er("space_create", TASK) == E_OK
    return guest


def test_what_is_put_into_a_region_can_be_got_and_all_pages_come_back(spaces: Guest) -> None:
    free = spaces.call("pmem_free_pages")
    assert spaces.er("vcre_reg", TASK, DATA, 1, 3 * PAGE, READ | WRITE | USER, 0) == E_OK
    assert spaces.er("vmap_reg", TASK, DATA + 1, PAGE, READ | WRITE | USER) == E_OK
    assert spaces.call("pmem_free_pages") == free - 3  # two pages and their table
    spaces.poke(BUFFER, 0x1234_5678, 0x9ABC_DEF0)
    assert spaces.er("vput_reg", TASK, DATA + PAGE - 4, 8, BUFFER) == E_OK
    assert spaces.er("vget_reg", TASK, DATA + PAGE - 8, 12, BUFFER + 0x100) == E_OK
    assert spaces.words(BUFFER + 0x100, 3) == (0, 0x1234_5678, 0x9ABC_DEF0)
    assert spaces.er("vdel_reg", TASK, DATA) == E_OK
    assert spaces.call("pmem_free_pages") == free
    spaces.call("space_delete", TASK)
    assert spaces.call("pmem_free_pages") == free + 1
