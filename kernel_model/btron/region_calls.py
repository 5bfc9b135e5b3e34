"""The layer ``regions`` as the guest's C code calls it: address spaces and the ``v*_reg`` calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.abi import Function
from kernel_model.btron.answers import answers_er, er
from kernel_model.btron.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel_model.btron.spaces import Spaces
    from kernel_model.btron.tasks import Tasks
    from kernel_model.memory import Memory

_LAYER: Final = "regions"


def region_functions(memory: Memory, spaces: Spaces, tasks: Tasks) -> tuple[Function, ...]:
    """Return the functions of the layer.

    Args:
        memory: Physical guest memory.
        spaces: The address spaces of the tasks.
        tasks: The tasks.
    """
    return (*_space_functions(spaces), *_region_functions(Regions(memory, spaces, tasks)))


def _space_functions(spaces: Spaces) -> tuple[Function, ...]:
    check_signature = "ER space_check(ID tskid, VP start, W size, UW permission)"
    return (
        _er_function("ER space_create(ID tskid)", 1, spaces.create),
        Function("space_clear", _LAYER, "void space_clear(ID tskid)", 1, "void", _void(spaces.clear)),
        Function("space_delete", _LAYER, "void space_delete(ID tskid)", 1, "void", _void(spaces.delete)),
        Function(
            "space_directory", _LAYER, "UW space_directory(ID tskid)", 1, "u32", spaces.directory_in_use
        ),
        _er_function(check_signature, 4, spaces.check),
        _er_function("ER region_grow(ID tskid, VP address)", 2, spaces.grow),
        Function("space_entry", _LAYER, "UW space_entry(ID tskid, VP address)", 2, "u32", spaces.entry),
    )


def _region_functions(regions: Regions) -> tuple[Function, ...]:
    return (
        _er_function(
            "ER vcre_reg(ID tskid, VP start, W min, W max, UW permission, FP handle)", 6, regions.create
        ),
        _er_function("ER vdel_reg(ID tskid, VP start)", 2, regions.delete),
        _er_function("ER vmap_reg(ID tskid, VP start, W size, UW access)", 4, regions.map),
        _er_function("ER vunm_reg(ID tskid, VP start, W size)", 3, regions.unmap),
        _er_function("ER vshr_reg(ID from, ID to, VP start)", 3, regions.share),
        _er_function("ER vprt_reg(ID tskid, VP start, UW permission)", 3, regions.protect),
        _er_function("ER vget_reg(ID tskid, VP start, W size, VP buf)", 4, regions.get),
        _er_function("ER vput_reg(ID tskid, VP start, W size, VP buf)", 4, regions.put),
        _er_function("ER vsts_reg(ID tskid, VP start, T_REGION *pk_region)", 3, regions.state),
        _er_function(
            "ER region_map_shared(ID tskid, VP start, VP pages, W size, UW access)", 5, regions.map_shared
        ),
    )


def _er_function(signature: str, arguments: int, action: Callable[..., None]) -> Function:
    name = signature.partition("(")[0].split()[-1]
    return answers_er(name, _LAYER, signature, arguments, er(action))


def _void(action: Callable[[int], None]) -> Callable[[int], int]:
    """Return *action* as a function without a result."""

    def call(task: int) -> int:
        action(task)
        return 0

    return call
