"""Reporters: values come in (a run, a trace, findings, a memory map), text, JSON and HTML leave. None of them reads a machine."""

__all__ = ["ci", "documents", "exporters", "html", "run_record", "text"]
