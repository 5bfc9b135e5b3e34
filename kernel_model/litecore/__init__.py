"""LiteCore: frames in a bitmap, a first-fit kernel heap, spin locks, and how they come up at boot."""

__all__ = ["abi", "audits", "heap", "heap_layout", "memmap", "symbols"]
