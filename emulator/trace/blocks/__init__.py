"""From the calls of a trace to blocks of memory and their lives."""
