"""Findings from the kernel's own data structures, and who wrote what broke them."""
