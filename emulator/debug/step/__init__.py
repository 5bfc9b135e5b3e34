"""`kmemu step`: a timeline comes in; a `View` of one moment is read, and written as lines, JSON or panes of a terminal program."""

__all__ = ["step_app", "variable_lines", "view", "view_document", "view_text"]
