"""The graphics adapter: text, the planes of a VGA, and modes with a linear frame buffer."""

__all__ = ["dispi", "modes", "ports", "screenshot", "text"]
