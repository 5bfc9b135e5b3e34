"""Queries: a whole trace comes in; selected calls, usage and peaks, totals by call stack, gaps and differences go out."""

__all__ = ["difference", "distinct", "gaps", "overview", "search", "selection", "totals"]
