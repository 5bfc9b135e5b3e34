"""Fault injection: allocations fail although there is memory, and what the kernel makes of that is judged.

`policy` lets the allocations of one run fail that a policy names. A campaign (`campaign`) lets each allocation of a kernel fail
once, each in a run of its own, spread over processes (`workers`): in comes how to run the kernel once more, out comes what
became of it each time.
"""

__all__ = ["campaign", "policy", "workers"]
