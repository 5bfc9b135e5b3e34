"""The calls of LiteCore's virtual memory as the guest's C code makes them. See `kernel_model.litecore.abi`.

Apart from it because most runs do not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernel_model.abi import Function

if TYPE_CHECKING:
    from kernel_model.litecore.paging import Paging
    from kernel_model.litecore.vmalloc import Vmalloc
    from kernel_model.litecore.vspace import VirtualSpace

PHYS_NONE: Final = 0xFFFF_FFFF
_OK: Final = 0
_ERROR: Final = 0xFFFF_FFFF


def paging_functions(paging: Paging) -> tuple[Function, ...]:
    """Return the calls of the layer ``paging``. ``paging_enable`` is none: a model has no CR0."""

    def paging_init() -> int:
        return _OK if paging.init() else _ERROR

    def map_page(phys: int, virt: int, flags: int) -> int:
        return _OK if paging.map_page(phys, virt, flags) else _ERROR

    def unmap_page(virt: int) -> int:
        return _OK if paging.unmap_page(virt) else _ERROR

    def virt_to_phys(virt: int) -> int:
        physical = paging.physical(virt)
        return PHYS_NONE if physical is None else physical

    signature = "int map_page(uint32_t phys, uint32_t virt, uint32_t flags)"
    return (
        Function("paging_init", "paging", "int paging_init(void)", 0, "int", paging_init),
        Function("map_page", "paging", signature, 3, "int", map_page),
        Function("unmap_page", "paging", "int unmap_page(uint32_t virt)", 1, "int", unmap_page),
        Function("virt_to_phys", "paging", "uint32_t virt_to_phys(uint32_t virt)", 1, "u32", virt_to_phys),
    )


def vspace_functions(vspace: VirtualSpace, vmalloc: Vmalloc) -> tuple[Function, ...]:
    """Return the calls of the layer ``vspace``."""

    def vspace_free(addr: int) -> int:
        return _OK if vspace.give(addr) else _ERROR

    def vfree(pointer: int) -> int:
        vmalloc.free(pointer)
        return 0

    signature = "uint32_t vspace_alloc(uint32_t pages)"
    return (
        Function("vspace_alloc", "vspace", signature, 1, "pointer", vspace.take),
        Function("vspace_free", "vspace", "int vspace_free(uint32_t addr)", 1, "int", vspace_free),
        Function("vmalloc", "vspace", "void *vmalloc(uint32_t size)", 1, "pointer", vmalloc.alloc),
        Function("vfree", "vspace", "void vfree(void *p)", 1, "void", vfree),
    )
