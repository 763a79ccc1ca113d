"""Lies at the root so that `tests` means ours: a package in the environment brings one of the same name."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.plugins.models", "tests.plugins.shares", "tests.plugins.skip_summary"]

# How long an example takes depends on what else the machine does; a test that hangs meets pytest's own timeout.
settings.register_profile("caravan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("caravan")
