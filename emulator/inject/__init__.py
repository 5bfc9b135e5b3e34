"""Fault injection: allocations fail although there is memory, and what the kernel makes of that is judged.

`policy` lets the allocations of one run fail that a policy names. A campaign (`campaign`) lets each allocation of a kernel fail
once, each in a run of its own, spread over processes (`workers`): in comes a job, out comes what became of the kernel each time.
"""

__all__ = ["campaign", "policy", "workers"]
