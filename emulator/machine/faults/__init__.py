"""Explain how a run ended badly. A stop of the CPU comes in; an error that says in words what it means goes out."""

__all__ = ["diagnosis"]
