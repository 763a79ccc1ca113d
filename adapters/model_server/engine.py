"""One thread that owns the model: it takes what waits, and puts together what can share a pass of the model."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loguru import logger

from adapters.model_server.batch import DecodeBatch
from adapters.model_server.errors import ApiError, ServerBusy
from adapters.model_server.jobs import ChatJob, Job, ScoreJob, reject
from adapters.model_server.model import ServedModel
from adapters.model_server.scoring import score

AnyJob = TypeVar("AnyJob", bound=Job)

HOUSEKEEPING_SECONDS = 5.0
EXIT_CODE = 70  # sysexits.h: an internal error


@dataclass(frozen=True)
class Limits:
    """What the engine takes on. Tokens are counted with padding: rows times the longest of them."""

    rows: int = 16
    tokens_in_memory: int = 32_768  # of the key/value cache; 46 KB each for the embedded model
    tokens_a_pass: int = 2_048  # of prompts read, or of answers scored, before the running answers go on
    waiting: int = 512
    loaded_adapters: int = 16


@dataclass(frozen=True)
class Load:
    """What the engine has to do at the moment."""

    running: int
    waiting: int


class Engine:
    """Answers ChatJobs, up to `limits.rows` at once, and settles ScoreJobs in between.

    While both wait, each kind gets the same share of time. `still_served` tells the keys of the adapters that may
    still be asked for; others are unloaded. What fails fails its own jobs; when the engine itself cannot go on, it ends
    the process.
    """

    def __init__(self, model: ServedModel, still_served: Callable[[], set[str]], limits: Limits | None = None) -> None:
        self._model = model
        self._still_served = still_served
        self._limits = limits or Limits()
        self._batch = DecodeBatch(model)
        self._chats: deque[ChatJob] = deque()
        self._scores: deque[ScoreJob] = deque()
        self._work_came = threading.Condition()
        self._stopping = False
        self._scoring_lead = 0.0  # seconds spent scoring, less those spent answering, while both waited
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the pass that is running, and fail what is unfinished."""
        with self._work_came:
            self._stopping = True
            self._work_came.notify()
        self._thread.join()
        stopped = ServerBusy("the model server is stopping")
        self._batch.abandon(stopped)
        unfinished: list[Job] = [*self._chats, *self._scores]
        for job in unfinished:
            reject(job.result, stopped)

    def submit(self, job: ChatJob | ScoreJob) -> None:
        """Queue a job; its `result` tells the end. Raises ServerBusy."""
        with self._work_came:
            if self._stopping or len(self._chats) + len(self._scores) >= self._limits.waiting:
                raise ServerBusy("too many requests are waiting; try again later")
            if isinstance(job, ChatJob):
                self._chats.append(job)
            else:
                self._scores.append(job)
            self._work_came.notify()

    @property
    def alive(self) -> bool:
        """Whether it works at all."""
        return self._thread.is_alive()

    @property
    def load(self) -> Load:
        """How much there is to do."""
        return Load(running=len(self._batch), waiting=len(self._chats) + len(self._scores))

    def _run(self) -> None:
        try:
            while self._work_is_wanted():
                if self._batch or self._chats or self._scores:
                    self._work()
                else:
                    self._tidy_up()
        except BaseException:
            # Nobody else can use the model: whoever restarts this process gives the waiting clients a chance.
            logger.exception("the engine cannot go on; the process ends")
            os._exit(EXIT_CODE)

    def _work_is_wanted(self) -> bool:
        """Waits for work, but not longer than until it is time to tidy up. False: the engine is to stop."""
        with self._work_came:
            if not (self._stopping or self._chats or self._scores or self._batch):
                self._work_came.wait(HOUSEKEEPING_SECONDS)
            return not self._stopping

    def _tidy_up(self) -> None:
        try:
            self._unload(self._model.loaded - self._still_served())
        except Exception:
            logger.exception("adapters that are no longer served could not be unloaded")

    def _work(self) -> None:
        answering = bool(self._batch or self._chats)
        scoring = bool(self._scores) and (not answering or self._scoring_lead <= 0)
        began = time.monotonic()
        if scoring:
            self._score()
        else:
            self._answer()
        if answering and (scoring or self._scores):
            self._scoring_lead += (time.monotonic() - began) * (1 if scoring else -1)
        else:
            self._scoring_lead = 0.0

    def _answer(self) -> None:
        newcomers = self._take(self._chats, self._has_room_for)
        try:
            if newcomers:
                self._batch.admit(newcomers)
            else:
                self._batch.step()
        except Exception as error:
            logger.exception("the model failed")
            self._batch.abandon(error)
            for job in newcomers:
                reject(job.result, error)

    def _score(self) -> None:
        jobs = self._take(self._scores, self._fits_one_pass)
        try:
            if jobs:
                score(self._model, jobs)
        except Exception as error:
            logger.exception("scoring failed")
            for job in jobs:
                reject(job.result, error)

    def _take(self, waiting: deque[AnyJob], fits: Callable[[list[AnyJob]], bool]) -> list[AnyJob]:
        """Those next in line that fit together, their adapters loaded."""
        taken: list[AnyJob] = []
        while waiting and fits([*taken, waiting[0]]):
            job = waiting.popleft()
            if not job.result.cancelled() and self._load_adapter(job, taken):
                taken.append(job)
        return taken

    def _has_room_for(self, newcomers: list[ChatJob]) -> bool:
        everyone = [*self._batch.jobs, *newcomers]
        longest = max(len(job.prompt) + job.max_tokens for job in everyone)
        prompts = len(newcomers) * max(len(job.prompt) for job in newcomers)
        return len(everyone) == 1 or (
            len(everyone) <= self._limits.rows
            and len(everyone) * longest <= self._limits.tokens_in_memory
            and (len(newcomers) == 1 or prompts <= self._limits.tokens_a_pass)
        )

    def _fits_one_pass(self, jobs: list[ScoreJob]) -> bool:
        longest = max(len(job.prompt) + len(job.answer) for job in jobs)
        return len(jobs) == 1 or (len(jobs) <= self._limits.rows and len(jobs) * longest <= self._limits.tokens_a_pass)

    def _load_adapter(self, job: Job, companions: Sequence[Job]) -> bool:
        if job.adapter is None or job.adapter.key in self._model.loaded:
            return True
        try:
            if len(self._model.loaded) >= self._limits.loaded_adapters:
                running: list[Job] = [*self._batch.jobs, *companions]
                in_use = {other.adapter.key for other in running if other.adapter}
                self._unload(self._model.loaded - in_use)
            self._model.load(job.adapter)
        except Exception as error:
            if not isinstance(error, ApiError):
                logger.exception("adapter {} could not be loaded", job.adapter.name)
            reject(job.result, error)
            return False
        return True

    def _unload(self, keys: set[str]) -> None:
        for key in keys:
            self._model.unload(key)
