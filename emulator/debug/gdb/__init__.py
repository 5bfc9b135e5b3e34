"""Serve a debugger by GDB's remote serial protocol, with reverse execution.

The bytes of one client come in by a `connection`, become `packets`, and a `session` answers them from a
`emulator.debug.kernel_debugger.Debugger`. Nothing that a client sends is believed before it is checked.

Source: "Debugging with GDB", appendices E (Remote Serial Protocol), F (Agent Expressions) and G (Target Descriptions).
"""

__all__ = ["output", "server", "target"]
