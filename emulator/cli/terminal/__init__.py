"""Standard streams, terminals, output files, progress and signals of the command."""
