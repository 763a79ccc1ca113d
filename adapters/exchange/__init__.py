"""Preferences from and to the files of other tools, and our own."""
