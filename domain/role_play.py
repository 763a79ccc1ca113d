"""Role-playing of two agents, one who instructs and one who does: what each is told, and when they are done.

After CAMEL's inception prompting (Li et al., 2023, arXiv:2303.17760): each is told its role, not to flip it, and to
say one thing at a time; the one who instructs says a fixed word when the task is done.
"""

from __future__ import annotations

DONE = "CAMEL_TASK_DONE"
"""CAMEL's own word, so that models tuned on its data say it by themselves."""

_AROUND = " \t.,!?:;\"'`*<>()[]{}"

MOST_ROUNDS = 10
"""Instructions of one run. Models that do not know when to end would go on for ever."""


def instructor_is_told(task: str, other: str) -> str:
    """How the play begins for the one who instructs. `other`: the other agent's role, in a line."""
    return (
        f"Here is a task:\n{task}\n\n"
        f"You and I work on it together. I am the one who does it: {other}. You are the one who instructs me. Never "
        "flip roles: do not do the task yourself, and do not ask me for instructions.\n"
        "Give me one instruction at a time, fitted to what I can do, together with what I need to know to follow it. "
        "I answer with a solution, and you go on with the next instruction.\n"
        f"When the whole task is done, reply with the single word {DONE}, and with it only then.\n\n"
        "Give me the first instruction."
    )


def assistant_is_told(task: str, other: str, instruction: str) -> str:
    """How the play begins for the one who does."""
    return (
        f"Here is a task:\n{task}\n\n"
        f"You and I work on it together. I am the one who instructs: {other}. You are the one who does it. Never flip "
        "roles: do not instruct me.\n"
        "I give you one instruction at a time. Answer each one with a specific solution, and say so honestly where you "
        "cannot.\n\n"
        f"Instruction: {instruction}"
    )


def is_done(instruction: str) -> bool:
    """Whether whoever instructs says that nothing is left to do: the word stands alone, or alone on the last line, as
    small models repeat what they are told, and with it the word."""
    *_, last = instruction.strip().splitlines() or [""]
    return last.strip(_AROUND) == DONE
