"""What a viewer reads who goes by `seq`, however often an answer begins anew and whenever somebody comes late."""

from __future__ import annotations

from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from adapters import live_text
from adapters.live_text import TokenDelta, Utterance
from domain.current_step import CurrentStep
from domain.text import escape

STEP = CurrentStep(UUID(int=1), "ada", "answer", 0)
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.text(max_size=12)),
        st.sampled_from([("begin", ""), ("repeat", ""), ("tell", ""), ("somebody comes", "")]),
    )
)


class Viewer:
    """`text` is None until the beginning was heard."""

    def __init__(self) -> None:
        self.text: str | None = None
        self._next = 0

    def hear(self, delta: TokenDelta) -> None:
        if delta.seq == 0:
            self.text, self._next = delta.text, 1
        elif self.text is not None:
            assert delta.seq == self._next
            self.text, self._next = self.text + delta.text, self._next + 1


@given(HAPPENINGS)
@example([("add", "0"), ("tell", ""), ("repeat", ""), ("begin", "")])
@example([("add", "0"), ("tell", ""), ("begin", ""), ("tell", ""), ("somebody comes", ""), ("add", "0")])
def test_every_viewer_reads_the_last_attempt_whole(happenings: list[tuple[str, str]]):
    original, live_text.PIECE = live_text.PIECE, 5
    try:
        said, raw, viewers = Utterance(STEP), "", [Viewer()]
        for happening, text in [*happenings, ("tell", "")]:
            match happening:
                case "add":
                    raw += text
                    said.add(text)
                case "begin":
                    raw = ""
                    said.begin()
                case "repeat":
                    said.repeat()
                case "somebody comes":
                    viewers.append(Viewer())
                    said.repeat()
                case "tell":
                    for delta in said.due():
                        for viewer in viewers:
                            viewer.hear(delta)
        assert {viewer.text or "" for viewer in viewers} == {escape(raw)}
        assert not list(said.due())
    finally:
        live_text.PIECE = original


def test_no_more_is_held_than_an_event_may_hold(monkeypatch):
    monkeypatch.setattr(live_text, "LONGEST_TEXT", 10)
    said = Utterance(STEP)
    for _ in range(5):
        said.add("a\x00b")
    assert "".join(delta.text for delta in said.due()) == escape(("a\x00b" * 5)[:10])
