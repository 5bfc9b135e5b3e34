"""Calls of a run: the rows that the core records come in, one table of calls and the lives of all blocks go out."""

__all__ = ["blocks", "checking", "file", "logged", "queries", "recording", "table", "trace"]
