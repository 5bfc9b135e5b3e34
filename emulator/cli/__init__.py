"""The command `kmemu`."""
