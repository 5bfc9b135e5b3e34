"""Findings from the calls of a trace: wrong frees, wrong arguments, wrong results."""
