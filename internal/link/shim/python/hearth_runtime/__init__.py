"""The parts of Hearth's Python runtime; ../main.py starts it."""
