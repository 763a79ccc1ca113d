"""Jobs that bring preferences in from files, and take them back."""
