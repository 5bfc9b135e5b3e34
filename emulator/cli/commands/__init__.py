"""The commands of `kmemu`, a module each."""
