"""A trace as a file: its columns, the writer that fills it while a kernel runs, and the reader that checks it."""
