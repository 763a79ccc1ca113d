"""What may be asked: load the aggregate, let it decide, save."""
