"""The theory: what the guest kernel's memory management does, as Python that works on the same bytes."""

__all__ = ["abi", "audit", "blocks", "btron", "litecore", "memory", "structs", "text"]
