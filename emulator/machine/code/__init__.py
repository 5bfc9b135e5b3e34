"""Code of the guest. Bytes come in; where calls end, and what an instruction accesses, goes out."""

__all__ = ["exits", "features", "instructions"]
