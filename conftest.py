"""Lies at the root so that `tests` means ours: a package in the environment brings one of the same name."""

pytest_plugins = ["tests.plugins.models", "tests.plugins.skip_summary"]
