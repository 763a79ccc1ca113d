"""`python -m gateway.cli`: how the supervisor starts each process."""

from gateway.cli import app

app()
