"""What an address of the guest means: its function, its source line, its stack, its variables."""
