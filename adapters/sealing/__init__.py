"""Tamper evidence: seals over the log, proofs from them, and a look at all of it again. docs/audit.md explains."""
