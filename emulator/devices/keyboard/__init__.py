"""The keyboard controller, and what is plugged into it: a keyboard on which text is typed, and a mouse that lies still."""

__all__ = ["controller", "key_text"]
