"""The APICs: the CPU's local one with its timer, the one that lines of devices lead to, and the bus between them."""

__all__ = ["bus", "io_apic", "local_apic"]
