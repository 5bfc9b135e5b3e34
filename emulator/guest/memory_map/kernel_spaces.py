"""Whose address spaces are, and what their ranges are for, by the tables of kernels that are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from emulator.guest.memory_map.space_reader import NamedSpace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernel_model.btron.abi import Btron
    from kernel_model.btron.spaces import Region, Spaces
    from kernel_model.litecore.abi import LiteCore

Use = tuple[int, int, str]

KERNEL: Final = "the kernel"


def litecore_spaces(litecore: LiteCore, notes: list[str]) -> list[NamedSpace] | None:
    """Return the space of LiteCore with the ranges of its vspace. See `emulator.hle.kernels.Kernel.address_spaces`."""
    if litecore.paging is None or not litecore.paging.directory():
        return None
    from kernel_model.litecore.vspace import Owner  # not for BTRON/386

    names = {
        Owner.ALLOC.value: "vspace_alloc",
        Owner.VMALLOC.value: "vmalloc",
        Owner.CLOSING.value: "vfree at work",
    }
    uses: list[Use] = []
    if litecore.vspace is not None:
        try:
            uses += ((each.start, each.end, names.get(each.owner, "")) for each in litecore.vspace.ranges())
        except IndexError as error:
            notes.append(f"the ranges of vspace cannot be read: {error}")
    return [NamedSpace(litecore.paging.directory(), KERNEL, tuple(uses))]


def btron_spaces(btron: Btron, notes: list[str]) -> list[NamedSpace] | None:
    """Return the spaces of BTRON/386's kernel and tasks. See `emulator.hle.kernels.Kernel.address_spaces`."""
    spaces = btron.spaces
    if spaces is None:
        return None
    from kernel_model.btron.tcb import MAX_TASKS  # not for LiteCore

    found = [NamedSpace(spaces.kernel_directory, KERNEL)]
    for task in range(1, MAX_TASKS + 1):
        if spaces.directory(task):
            uses = tuple(_uses(spaces, task, notes))
            found.append(NamedSpace(spaces.directory(task), f"task {task}", uses))
    return found


def _uses(spaces: Spaces, task: int, notes: list[str]) -> Iterator[Use]:
    regions: list[Region] = []
    try:
        regions.extend(spaces.regions(task))
    except IndexError as error:
        notes.append(f"the regions of task {task} cannot be read: {error}")
    yield from _apart((each.start, each.end, _kind(each.permission)) for each in regions)


def _kind(permission: int) -> str:
    """Return what a region with this permission is for; a heap is told from data by nothing."""
    from kernel_model.btron.spaces import Permission

    if permission & Permission.STACK:
        return "stack"
    return "text" if permission & Permission.EXEC else "data"


def _apart(uses: Iterable[Use]) -> Iterator[Use]:
    """Yield uses by address, without those that overlap one before."""
    end = 0
    for each in sorted(uses):
        if each[0] >= end:
            yield each
            end = each[1]
