"""Tables to be read by eye."""

from collections.abc import Callable

import hypothesis
import polars as pl
import pytest

from tfsessionrec.data import Examples, Sessions

# The first example of a property pays for what the library loads: no time limit for each.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


def _value(word: str) -> int | float | str | None:
    if word == "-":
        return None
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            pass
    return word


@pytest.fixture(scope="session")
def table() -> Callable[[str], pl.DataFrame]:
    """Words in columns under a header line to a frame; `-` is null, `#` starts a comment."""

    def read(text: str) -> pl.DataFrame:
        lines = [line.partition("#")[0].split() for line in text.strip().splitlines()]
        header, *rows = [line for line in lines if line]
        return pl.DataFrame(
            {name: [_value(row[i]) for row in rows] for i, name in enumerate(header)}
        )

    return read


@pytest.fixture(scope="session")
def show() -> Callable[..., list[str]]:
    """A line a session: `user session_index: item item-not-clicked- ...`.

    With targets, ` *` ends a session that is predicted, and `|` stands before the part of it that
    is, if that is not all.
    """

    def render(sessions: Sessions | Examples, with_target: bool = False) -> list[str]:
        if isinstance(sessions, Examples):
            sessions = sessions.to_sessions()
        events = sessions.events
        item = pl.col("item_id").cast(pl.String)
        lines = events.group_by("user_id", "session_index", maintain_order=True).agg(
            pl.when(pl.col("label") == 1).then(item).otherwise(item + "-").alias("items"),
            pl.col("is_target").sum(),
        )
        shown = []
        for user, index, items, targets in lines.rows():
            if with_target and 0 < targets < len(items):
                items.insert(len(items) - targets, "|")
            star = " *" if with_target and targets else ""
            shown.append(f"{user} {index}: {' '.join(items)}{star}")
        return shown

    return render
