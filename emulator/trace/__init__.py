"""What was recorded of a run: the file with every call, and the life of every block in it."""
