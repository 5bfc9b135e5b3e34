from __future__ import annotations

from emulator.guest.memory import physical_of
from tests.helpers.page_tables import LARGE_PAGE, PAGE, paged_machine


def test_an_address_is_linear_where_it_is_mapped_and_physical_elsewhere() -> None:
    machine, tables = paged_machine("hlt")
    tables.map(0xC000_0000, 0x0030_0000)
    machine.run()
    assert physical_of(machine, 0xC000_0123) == 0x0030_0123
    assert physical_of(machine, LARGE_PAGE) == LARGE_PAGE


def test_an_address_that_leads_nowhere_has_no_memory() -> None:
    machine, tables = paged_machine("hlt")
    tables.map(0xC000_1000, 0xF000_0000)
    machine.run()
    assert physical_of(machine, 0xC000_1000) is None
    assert physical_of(machine, len(machine.memory) + PAGE) is None
