"""What connects the command with its surroundings: standard streams, terminals, output files, progress, signals."""
