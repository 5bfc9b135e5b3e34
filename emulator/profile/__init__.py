"""Profiles: a TOML file or a kernel comes in; which of its functions allocate, and how their calls are read, goes out."""

__all__ = [
    "binding",
    "discovery",
    "documents",
    "functions",
    "known",
    "model",
    "reader",
    "suppressions",
    "tasks",
]
