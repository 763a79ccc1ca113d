"""Delays between tries grow to a ceiling, differ from process to process, and start over."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.backoff import Backoff


@given(failures=st.integers(0, 5000))
def test_no_delay_is_over_the_ceiling_or_under_half_of_the_first(failures: int):
    assert 0.25 <= Backoff(first=0.5, ceiling=30, failures=failures).next_delay() <= 30


@given(failures=st.integers(0, 4))
def test_a_delay_lies_between_half_and_all_of_what_doubling_gives(failures: int):
    delay = Backoff(first=1, ceiling=30, failures=failures).next_delay()
    assert 2**failures / 2 <= delay <= 2**failures


def test_after_a_stable_time_it_starts_over():
    backoff = Backoff(first=1, ceiling=30)
    for _ in range(10):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1
