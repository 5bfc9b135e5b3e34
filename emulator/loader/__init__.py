"""Reads what is to be booted: the kernel's ELF file, its symbols and lines, and the Multiboot information."""
