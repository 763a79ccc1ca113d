"""The HTTP doors, one module per resource; none holds logic."""
