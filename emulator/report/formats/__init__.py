"""The result of a check in the formats of other programs."""
