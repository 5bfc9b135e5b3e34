"""Lines for people, from data."""
