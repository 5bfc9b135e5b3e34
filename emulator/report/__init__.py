"""Turns what a machine holds after a run, or a kernel file, into text and JSON for people and programs."""
