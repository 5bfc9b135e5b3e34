"""The command `kmemu`: words come in, text and an exit status leave. Exit statuses are made here only."""

__all__ = ["option_values"]
