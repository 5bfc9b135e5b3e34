"""Looking for what a kernel does wrong with its memory."""
