"""LiteCore: frames in a bitmap, a first-fit kernel heap, spin locks, how they come up at boot; and virtual memory."""

__all__ = ["abi", "audits", "heap", "heap_layout", "memmap", "paging_audit", "vspace"]
