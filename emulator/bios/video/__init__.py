"""The graphics adapter: int 10h."""

__all__ = ["text"]
