"""The machine: CPU, physical memory, devices on their ports, and one object that holds them together."""
