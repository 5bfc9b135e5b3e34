"""Fault injection: make allocations fail, and judge what the kernel makes of it."""
