"""A guest that has LiteCore's symbols, and of its functions one that a test writes: `memmap_get`.

The model of `memmap_get` returns the address of `memmap` and touches nothing, so all that the native one does besides is
its own doing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers.guest import FUNCTION, machine_of

if TYPE_CHECKING:
    from emulator.machine.machine import Machine

#: What `memmap_get` is in the real kernel.
RIGHT = "movl $memmap, %eax\n ret"

_STUBS = (
    *("memmap_init", "alloc_frame", "alloc_frames", "free_frame", "free_frames"),
    *("memmap_reserve", "memmap_free_count", "memmap_has_run"),
)
_DATA = (
    *("memmap_lock", "heap_start", "heap_end", "heap_free_list", "heap_error_count", "heap_lock"),
    *("memory_window_start", "memory_window_end", "heap_bytes"),
)


def tiny_litecore(memmap_get: str, body: str = "hlt", more: str = "", **description: Any) -> Machine:  # noqa: ANN401 - the keywords of Machine
    """Return a machine with the guest loaded.

    Args:
        memmap_get: Assembly of the function.
        body: What runs first; `call memmap_get` and the like.
        more: Further code and data, after everything else.
        description: Of the machine.
    """
    stubs = "".join(f"function {name}\n ret\n ends {name}\n" for name in _STUBS)
    data = "".join(f"{name}: .long 0\n" for name in _DATA)
    source = f"""{FUNCTION}
        {body}
        hlt
        function memmap_get
        {memmap_get}
        ends memmap_get
        {stubs}
        .data
memmap: .skip 20
        {data}
        .text
        {more}"""
    return machine_of(source, **description)
