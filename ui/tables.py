"""Lists and facts, laid out alike on every page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from ui.api import Json, Page
from ui.texts import STATE_COLOURS, moment, plain

Columns = Mapping[str, str | ColumnConfig]
"""What a table shows: an item's field, and its heading or how to draw it."""


def _newest() -> None:
    st.query_params.pop("cursor", None)


FILTER: Any = {"bind": "query-params", "on_change": _newest}
"""For a widget that filters a table: its value stands in the address; another one begins with the newest rows again."""


def when(heading: str) -> ColumnConfig:
    """A column of times, as the clock on the person's wall shows them."""
    return st.column_config.DatetimeColumn(heading, format="D MMM, HH:mm:ss", timezone=st.context.timezone or "UTC")


def numbers(heading: str, format: str = "localized", help: str | None = None) -> ColumnConfig:
    """A column of numbers."""
    return st.column_config.NumberColumn(heading, format=format, help=help)


def sheet(items: Sequence[Json], columns: Columns, key: str, empty: str) -> None:
    """A table to read. Without any items it says what to do: `empty`."""
    if items:
        st.dataframe(**_drawn(items, columns), key=key)
    else:
        st.info(empty, icon=":material/lightbulb:")


def table(items: Sequence[Json], columns: Columns, id: str, empty: str, keep: str | None = None) -> Json | None:
    """The same, but its rows can be chosen. Returns the chosen item.

    `id` is the field that tells items apart. `keep` names the parameter of the address that holds the chosen one, so
    that it is still open after a reload.
    """
    if not items:
        st.info(empty, icon=":material/lightbulb:")
        return None
    ids = [str(item[id]) for item in items]
    kept = st.query_params.get(keep) if keep else None
    event = st.dataframe(
        **_drawn(items, columns),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(kept)]}} if kept in ids else None,
        # Other items make another table: a click on a row of the former one must not open what has moved there.
        key=f"{id}.{uuid5(NAMESPACE_OID, ' '.join(ids))}",
    )
    rows = event.selection.rows
    chosen = items[rows[0]] if rows else None
    if keep:
        _keep(keep, str(chosen[id]) if chosen else None)
    return chosen


def _keep(parameter: str, value: str | None) -> None:
    if value is None:
        st.query_params.pop(parameter, None)
    elif st.query_params.get(parameter) != value:
        st.query_params[parameter] = value


def pager(page: Page, parameter: str = "cursor") -> None:
    """Leads to older items and back to the newest. The place is in the address, so that a reload keeps it."""
    here = st.query_params.get(parameter)
    if not here and not page.next:
        return
    with st.container(horizontal=True):
        if here and st.button("Newest", icon=":material/first_page:", key=f"{parameter}.newest"):
            del st.query_params[parameter]
            st.rerun()
        if page.next and st.button("Older", icon=":material/chevron_right:", key=f"{parameter}.older"):
            st.query_params[parameter] = page.next
            st.rerun()


def facts(values: Mapping[str, str]) -> None:
    """Names and values in a row, such as a run's counters."""
    with st.container(horizontal=True, gap="large"):
        for name, value in values.items():
            st.metric(name, value, width="content")


def state_badge(state: str) -> None:
    """A state in its colour."""
    st.badge(plain(state.replace("_", " ")), color=STATE_COLOURS.get(state, "gray"))  # type: ignore[arg-type]


def _drawn(items: Sequence[Json], columns: Columns) -> dict[str, Any]:
    states = {
        name: _states(heading) for name, heading in columns.items() if name == "state" and isinstance(heading, str)
    }
    return {
        "data": [_row(item, columns) for item in items],
        "column_config": dict(columns) | states,
        "column_order": list(columns),
        "hide_index": True,
        "placeholder": "–",
    }


def _states(heading: str) -> ColumnConfig:
    return st.column_config.MultiselectColumn(
        heading, options=list(STATE_COLOURS), color=list(STATE_COLOURS.values()), width="small"
    )


def _row(item: Json, columns: Columns) -> Json:
    cells = {name: _cell(item.get(name)) for name in columns}
    return cells | ({"state": [cells["state"]]} if "state" in cells else {})


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, str) and len(value) > 18 and value[4:5] == "-" and value[10:11] == "T":
        return moment(value)
    return value
