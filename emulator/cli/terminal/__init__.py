"""What connects the command with its surroundings: standard streams, terminals, output files, progress, signals."""

__all__ = ["console", "output", "output_file", "progress", "signals"]
