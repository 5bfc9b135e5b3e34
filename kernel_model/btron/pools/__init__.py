"""BTRON/386's memory pools: the calls on them, and a reader that distrusts what it finds."""

__all__ = ["mpf", "mpl", "reader", "table"]
