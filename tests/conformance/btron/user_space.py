"""What the tests of address spaces have in common: a kernel with two tasks, and a walk through their page tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.conformance.btron.subjects import KERNEL, PAGE, SCRATCH

if TYPE_CHECKING:
    from tests.conformance.btron.subjects import Guest

E_OK, E_NOMEM, E_PAR, E_ID, E_NOEXS, E_OBJ, E_MACV = 0, -10, -33, -35, -52, -63, -65
READ, WRITE, EXEC, USER, STACK = 1, 2, 4, 0x10000, 0x20000
DATA: Final = READ | WRITE | USER
TEXT: Final = READ | EXEC | USER

A, B = 2, 31
"""Tasks with a space."""

BARE: Final = 5
"""A task without one."""

NOBODY: Final = 7
"""The id of a task that does not exist."""

USER_END: Final = 0x8000_0000
START: Final = 0x003F_F000
"""The last page of a table; what follows is in the next one."""

HANDLER: Final = 0x8010_0040
BUFFER: Final = SCRATCH + 0x400

PRESENT = 1


def make_spaces(guest: Guest) -> None:
    """Make two tasks with empty spaces and one without. What follows a null pointer finds entries there."""
    guest.memory.store_words(0, [PRESENT | 6] * 16)
    for task in (A, B, BARE):
        guest.add_task(task)
    for task in (A, B):
        assert guest.er("space_create", task) == E_OK


def entries(guest: Guest, task: int) -> dict[int, int]:
    """Return the entry of each page that is mapped in a task's user space, by its address."""
    found = {}
    for index, word in enumerate(guest.words_of_page(guest.space(task)["directory"])[:512]):
        if word & PRESENT:
            assert word & 0xFFF == 7  # all is allowed there
            for number, entry in enumerate(guest.words_of_page(word & -PAGE)):
                assert entry & PRESENT or not entry
                if entry:
                    found[index << 22 | number << 12] = entry
    return found


def tables(guest: Guest, task: int) -> list[int]:
    """Return the indices of the tables that a task's user space has; each maps something."""
    directory = guest.words_of_page(guest.space(task)["directory"])
    found = [index for index, word in enumerate(directory[:512]) if word]
    assert {address >> 22 for address in entries(guest, task)} == set(found)
    return found


def pages_of(guest: Guest, task: int) -> list[int]:
    """Return the frames that a task's pages are in, by ascending address."""
    return [word >> 12 for _, word in sorted(entries(guest, task).items())]


def refused(guest: Guest, code: int, name: str, *arguments: int) -> None:
    """Make a call that gives an error and changes nothing."""
    before = guest.state()
    assert guest.er(name, *arguments) == code
    assert guest.state() == before


def region(
    guest: Guest, task: int = A, start: int = START, size: int = 4 * PAGE, permission: int = DATA
) -> None:
    """Make a region."""
    assert guest.er("vcre_reg", task, start, PAGE, size, permission, 0) == E_OK


def mapped(
    guest: Guest, task: int = A, start: int = START, size: int = 2 * PAGE, permission: int = DATA
) -> None:
    """Make a region of four pages in which so much is mapped from its start."""
    region(guest, task, start, max(size, 4 * PAGE), permission)
    assert guest.er("vmap_reg", task, start, size, permission) == E_OK


def fill(guest: Guest, task: int = A) -> None:
    """Give each mapped page of a task bytes of its own."""
    for number, frame in enumerate(pages_of(guest, task)):
        guest.memory.write(frame * PAGE, bytes([0x40 + number]) * PAGE)


def kernel_address(frame: int) -> int:
    """Return where the kernel sees a frame."""
    return KERNEL + frame * PAGE
