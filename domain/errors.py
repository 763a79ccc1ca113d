"""What can go wrong in the domain's own terms. Each error knows the HTTP status that tells it to a client."""

from __future__ import annotations

from uuid import UUID


class DomainError(Exception):
    """A refused command. Its text says what is wrong and what to do about it."""

    status = 422


class NotFound(DomainError):
    """There is no such aggregate. HTTP 404."""

    status = 404

    def __init__(self, kind: str, id: UUID | str) -> None:
        super().__init__(f"there is no {kind} {id}")


class VersionConflict(DomainError):
    """Somebody else changed the aggregate since the caller read it. HTTP 412."""

    status = 412

    def __init__(self, expected: int | str, actual: int) -> None:
        super().__init__(f"it is at version {actual}, not {expected}: read it again, then repeat the change")


class PreconditionRequired(DomainError):
    """The change must say what it was made from. HTTP 428."""

    status = 428


class NotReady(DomainError):
    """What the command builds on is still being made. HTTP 409."""

    status = 409


class AlreadyDone(DomainError):
    """The aggregate's state does not allow this any more. HTTP 409."""

    status = 409


class LeaseLost(DomainError):
    """A worker acted on a run that another one has taken over. HTTP 409."""

    status = 409


class CommandReused(DomainError):
    """One Idempotency-Key was sent with two different bodies. HTTP 422."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used for another request; choose a new one")


class Invalid(DomainError):
    """The command contradicts a rule of the domain. HTTP 422."""
