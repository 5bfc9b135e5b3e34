"""JSON documents, from data."""
