"""A person who goes through the loop over HTTP, on a Caravan that runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx

PATIENCE_SECONDS = 240.0

Json = dict[str, Any]


class Loop:
    """From tasks to an adapter in use, with the token of `api`."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api

    def play(self) -> None:
        """The whole loop, with every kind of opinion on the way, to an adapter that is taken out of use again."""
        first = self.run("Name a colour.", "And another?")
        self.run("Name a fish.")
        self._stop_a_run()
        self._have_a_run_fail()
        self._give_opinions(first)
        dataset = self.build_dataset()
        self.build_dataset({"filter": {"annotated_only": True}})
        self._cancel_a_training(dataset)
        self._have_a_training_fail(dataset)
        adapter = self.train(dataset)["adapter_name"]
        self.post(f"/v1/adapters/{adapter}/promote", {"reason": "better than nothing"})
        self._edit_the_agents()
        self.run("Name a tree.")
        self.post(f"/v1/adapters/{adapter}/retire", {"reason": "worse after all"})
        eventually(lambda: all(model["lag"] == 0 for model in self.api.get("/health").json()["projections"]))

    def run(self, *turns: str) -> Json:
        """One run of a task with these turns, completed."""
        body = {"task": {"turns": turns, "category": "naming"}, "max_tokens": 8}
        return self._completed("/v1/workflows", body)

    def waiting_pairs(self, run: Json, at_least: int = 1) -> list[Json]:
        """What that run's ballots propose, once there are so many."""
        asked = {"run": run["run_id"], "state": "waiting"}

        def look() -> list[Json] | None:
            items: list[Json] = self.api.get("/v1/preferences", params=asked).json()["items"]
            return items if len(items) >= at_least else None

        return eventually(look)

    def build_dataset(self, body: Json | None = None) -> Json:
        """Of all pairs that there are, unless the body says otherwise."""
        return self._completed("/v1/datasets", body or {})

    def train(self, dataset: Json) -> Json:
        """An adapter for the alias `team`, in two steps."""
        return self._completed("/v1/training-runs", _training(dataset))

    def post(self, path: str, body: Json) -> Json:
        """A command, and what it is answered: again and again while the gateway asks for patience."""
        key = {"Idempotency-Key": str(uuid4())}

        def ask() -> httpx.Response | None:
            found = self.api.post(path, json=body, headers=key)
            return None if found.status_code == 503 else found

        answer = eventually(ask)
        assert answer.is_success, f"{path}: {answer.text}"
        written: Json = answer.json()
        return written

    def _completed(self, path: str, body: Json) -> Json:
        """What that command asks for, once it is done."""
        found = self._ended(path, body)
        assert found["state"] in ("completed", "built"), found
        return found

    def _failed(self, path: str, body: Json) -> None:
        found = self._ended(path, body)
        assert found["state"] == "failed", found

    def _ended(self, path: str, body: Json) -> Json:
        """The same, whatever became of it."""
        id = self.post(path, body)["id"]

        def look() -> Json | None:
            answer = self.api.get(f"{path}/{id}")
            found: Json = answer.json()
            return found if answer.is_success and found["state"] not in ("requested", "running") else None

        ended: Json = eventually(look)
        return ended

    def _stop_a_run(self) -> None:
        run = self.post("/v1/workflows", {"task": {"turns": ["Count to a million."] * 20}, "max_tokens": 100})
        self.post(f"/v1/workflows/{run['id']}/stop", {"reason": "takes too long"})

    def _have_a_run_fail(self) -> None:
        self._failed("/v1/workflows", {"task": {"turns": ["More than fits into the model's context. " * 20_000]}})

    def _give_opinions(self, run: Json) -> None:
        pairs = [f"/v1/preferences/{pair['preference_id']}" for pair in self.waiting_pairs(run, at_least=5)]
        for pair, verdict in zip(pairs, ("accepted", "flipped", "rejected"), strict=False):
            self.post(f"{pair}/annotations", {"verdict": verdict, "note": f"{verdict} — on sight"})
        self.post(f"{pairs[1]}/annotations", {"verdict": "accepted", "note": "rather as it was"})
        self.post(f"{pairs[3]}/annotations", {"verdict": "edited", "chosen": "Ultramarine.", "note": "a colour"})
        self.api.delete(pairs[4]).raise_for_status()
        by_hand = {"prompt": ("user", "Name a prime."), "chosen": ("assistant", "7"), "rejected": ("assistant", "9")}
        self.post("/v1/preferences", {k: [{"role": role, "content": text}] for k, (role, text) in by_hand.items()})

    def _cancel_a_training(self, dataset: Json) -> None:
        run = self.post("/v1/training-runs", _training(dataset))
        self.post(f"/v1/training-runs/{run['id']}/cancel", {"reason": "with other pairs, perhaps"})

    def _have_a_training_fail(self, dataset: Json) -> None:
        training = _training(dataset)
        no_room = {"max_length": 16}
        self._failed("/v1/training-runs", training | {"config": training["config"] | no_room})

    def _edit_the_agents(self) -> None:
        now = self.api.get("/v1/agents", headers={"Accept": "application/yaml"})
        text = now.text.replace("role: ", "role: truly ", 1)
        headers = {"If-Match": now.headers["ETag"], "Content-Type": "application/yaml"}
        self.api.put("/v1/agents", content=text, params={"reason": "Say it better"}, headers=headers).raise_for_status()


def _training(dataset: Json) -> Json:
    return {
        "dataset_id": dataset["dataset_id"],
        "alias": "team",
        "config": {"max_steps": 2, "per_device_train_batch_size": 2},
    }


def eventually(look: Callable[[], Any]) -> Any:
    """What `look` finds, once that is something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.3)
    return found
