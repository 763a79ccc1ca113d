"""The kind `role_playing`: one agent instructs, another one does, until the first says that the task is done."""

from __future__ import annotations

from commands.policies.held_run import HeldRun
from domain import role_play


class RolePlaying:
    """A Kind. The first agent instructs (`instruct`), the second one does (`answer`); each remembers what both said."""

    fewest_agents = most_agents = 2

    async def play(self, run: HeldRun) -> None:
        """Raises ModelUnavailable, LimitReached, LetGo, LeaseLost or AlreadyDone."""
        instructor, assistant = run.agents
        task = "\n\n".join(run.task.turns)
        heard = role_play.instructor_is_told(task, run.agents[assistant].spec.role)
        for n in range(role_play.MOST_ROUNDS):
            instruction = (await run.say(instructor, "instruct", n, heard)).call.output
            if role_play.is_done(instruction):
                return
            asked = instruction
            if n == 0:
                asked = role_play.assistant_is_told(task, run.agents[instructor].spec.role, instruction)
            heard = (await run.say(assistant, "answer", n, asked)).call.output
