"""From tokens to text as they come, ending at a stop string that may span several of them."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream


class StopFilter:
    """Passes text on, holding back what may be the beginning of a stop string.

    `stopped` turns true when one was found; neither it nor anything after it is passed on.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = stop
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """What may be shown now, given that `text` came next."""
        self._held += text
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            return self._release(min(found))
        return self._release(len(self._held) - self._possible_beginning())

    def flush(self) -> str:
        """What was held back, now that nothing comes any more."""
        return "" if self.stopped else self._release(len(self._held))

    def _possible_beginning(self) -> int:
        """The length of the longest end of the held text with which some stop string begins."""
        longest = min(len(self._held), max((len(stop) for stop in self._stop), default=1) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0

    def _release(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown


class TextStream:
    """One answer's text. Special tokens are left out; a character split over tokens appears when complete."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._filter = StopFilter(stop)
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """Everything shown so far."""
        return "".join(self._pieces)

    @property
    def stopped(self) -> bool:
        """Whether a stop string came."""
        return self._filter.stopped

    def push(self, token: int) -> str:
        """The text to show now that `token` came; often empty."""
        return self._show(self._filter.push(self._decoder.step(self._tokenizer, token) or ""))

    def flush(self) -> str:
        """The rest of the text to show at the end."""
        return self._show(self._filter.flush())

    def _show(self, piece: str) -> str:
        if piece:
            self._pieces.append(piece)
        return piece
