from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from adapters.model_server.text import StopFilter

LETTERS = st.text("ab\n", max_size=30)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


def shown_in_pieces(text: str, pieces: list[int], stop: list[str]) -> str:
    stops = StopFilter(stop)
    cuts = [0, *sorted(cut % (len(text) + 1) for cut in pieces), len(text)]
    shown = ""
    for begin, end in pairwise(cuts):
        shown += stops.push(text[begin:end])
        if stops.stopped:
            return shown
    return shown + stops.flush()


@given(LETTERS, st.lists(st.integers(0, 30), max_size=30), st.text("ab\n", min_size=1, max_size=4))
def test_text_ends_before_the_stop_string_however_it_arrives(text, pieces, stop):
    assert shown_in_pieces(text, pieces, [stop]) == text.partition(stop)[0]


@given(LETTERS, STOPS)
def test_several_stop_strings_arriving_letter_by_letter_end_the_text_at_the_first_that_completes(text, stop):
    shown = shown_in_pieces(text, list(range(len(text))), stop)

    assert text.startswith(shown)
    assert not any(string in shown for string in stop)
    assert shown == text or any(text[len(shown) :].startswith(string) for string in stop)


def test_what_may_begin_a_stop_string_is_held_back_until_it_is_clear():
    stops = StopFilter(["END"])

    assert stops.push("the E") == "the "
    assert stops.push("N") == ""
    assert stops.push("G") == "ENG"
    assert not stops.stopped
