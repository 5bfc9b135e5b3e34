"""Boot protocols. A kernel's image, a command line and modules come in; pieces of memory and registers go out."""

__all__ = ["boot_state", "hardware", "modules"]
