"""The memory map: which part of physical memory holds what."""
