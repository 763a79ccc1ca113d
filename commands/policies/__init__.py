"""Whenever X happened, do Y."""
