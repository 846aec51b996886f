"""Tables of numbers and points."""
