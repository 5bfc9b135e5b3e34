"""BTRON/386: pages, bytes, and ITRON memory pools with tasks that wait for them."""

__all__ = [
    "abi",
    "kernel_space",
    "kmem",
    "kmem_reader",
    "page_reader",
    "pages",
    "pmem",
    "pools",
    "symbols",
    "tcb",
]
