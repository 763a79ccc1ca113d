"""The outside world, behind the Protocols of domain/ports.py."""
