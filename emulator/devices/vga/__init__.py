"""The graphics adapter in text mode: its screen in memory, and its registers."""

__all__ = ["ports", "text"]
