"""Trace files: chunks of calls with their call stacks come in while a kernel runs; a checked table, mapped from the file, goes out."""

__all__ = ["checks", "header", "reader", "recorder", "writer"]
