"""Boot protocols. A kernel's image, a command line and modules come in; pieces of memory and registers go out."""

__all__ = ["bios_data", "boot_state", "hardware", "modules", "pc_memory", "rom", "video_info"]
