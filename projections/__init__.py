"""What happened, shaped for reading: each table, its fold and its queries side by side."""
