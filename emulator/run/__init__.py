"""Runs of a kernel: a machine that has not run comes in, how its run ended and, on demand, the trace of it go out."""

__all__ = ["ending", "recorded", "to_end", "trial"]
