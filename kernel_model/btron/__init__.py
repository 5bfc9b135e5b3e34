"""BTRON/386: pages, bytes, ITRON memory pools with tasks that wait for them, and address spaces of tasks."""

__all__ = [
    "abi",
    "kernel_space",
    "kmem",
    "kmem_reader",
    "page_reader",
    "pages",
    "pmem",
    "pools",
    "space_audit",
    "spaces",
    "tcb",
]
