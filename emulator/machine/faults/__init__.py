"""Bad ends. A stop of the CPU comes in; what it means, in words, goes out."""

__all__ = ["diagnosis"]
