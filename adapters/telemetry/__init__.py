"""Traces by OpenTelemetry and errors for Sentry. Nothing is sent where nobody asked for it."""
