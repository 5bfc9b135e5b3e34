"""Checked accesses: bad ones that the core has kept come in, findings go out, one for each mistake in the kernel's code."""

__all__ = ["bad_accesses", "code_places", "halting"]
