"""Accesses of memory: where in the kernel's code they belong to."""

__all__ = ["code_places"]
