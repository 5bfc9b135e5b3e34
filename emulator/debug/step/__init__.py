"""`kmemu step`: what can be seen of a machine at one event, and the terminal program that shows it."""
