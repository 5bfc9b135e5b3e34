"""The theory: what the guest kernel's memory management does, as Python that works on the same bytes."""

__all__ = [
    "abi",
    "address_space",
    "audit",
    "btron",
    "cpu",
    "frames",
    "litecore",
    "mappings",
    "memory",
    "page_tables",
    "structs",
    "text",
]
