"""Questions about a whole trace: which calls, how much memory, who uses it, what changed."""
