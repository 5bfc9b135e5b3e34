"""Write traces in the formats of other tools: a trace and a stream come in, bytes go to the stream."""

__all__ = ["columns", "folded", "perfetto", "speedscope"]
