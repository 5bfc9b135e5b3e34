"""The report page: one HTML file that shows a trace in a browser, without a network."""

__all__ = ["page"]
