"""`kmemu step`: a timeline comes in; a `View` of one event is read, and written as lines, JSON or panes of a terminal program."""

__all__ = ["step_app", "view", "view_document", "view_text"]
