"""`kmemu step`: a timeline comes in; a `View` of one event is read, and written as lines, JSON or panes of a terminal program."""
