"""Checks of the kernel's own data structures: audits and a trace come in, findings with their faulting writes leave."""

__all__ = ["kernel_checks", "locks", "run_audits"]
