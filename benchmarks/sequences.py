"""Item sequences of a log as the training speed comparison feeds them to both systems."""

import csv
import pathlib
from collections.abc import Sequence


def read_sessions(
    path: pathlib.Path, session: str, item: str, time_column: str, separator: str
) -> list[list[str]]:
    """The items of each session of a delimited log, in time order; ties keep the file's order.

    Args:
        path: The log, with a header.
        session: Column of the session.
        item: Column of the item.
        time_column: Column of the time, a number.
        separator: Field separator.

    Returns:
        The sessions in order of first appearance, each a list of raw item ids.

    Raises:
        ValueError: If a column is missing or the log contains no event.
    """
    sessions: dict[str, list[tuple[float, str]]] = {}
    with path.open(newline="") as lines:
        rows = csv.DictReader(lines, delimiter=separator)
        missing = {session, item, time_column} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(
                f"`{path.name}` should have the columns {sorted(missing)}. "
                f"Received: {rows.fieldnames}"
            )
        for row in rows:
            sessions.setdefault(row[session], []).append((float(row[time_column]), row[item]))
    if not sessions:
        raise ValueError(f"`{path.name}` should contain at least one event. Received: none")
    return [
        [item_id for _, item_id in sorted(events, key=lambda event: event[0])]
        for events in sessions.values()
    ]


def pack(sessions: Sequence[Sequence[str]], length: int) -> list[list[str]]:
    """Splits the concatenated sessions into windows of `length` + 1 events: `length` targets each.

    Drops the last events if they do not fill a window. Some targets of a window follow an item of
    another session; they cost as much as any other target.

    >>> pack([["a", "b"], ["c", "d", "e"], ["f"]], length=2)
    [['a', 'b', 'c'], ['d', 'e', 'f']]
    """
    events = [item for session in sessions for item in session]
    size = length + 1
    return [events[start : start + size] for start in range(0, len(events) - size + 1, size)]


def write_events(path: pathlib.Path, sequences: Sequence[Sequence[str]]) -> None:
    """Writes sequences as `user`, `item`, `time`; the time is the event's index, without ties."""
    place = 0
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines, delimiter="\t")
        writer.writerow(("user", "item", "time"))
        for user, sequence in enumerate(sequences):
            for item in sequence:
                writer.writerow((user, item, place))
                place += 1


def count_positions(sequences: Sequence[Sequence[str]], length: int) -> int:
    """The number of targets per epoch: at most the newest `length` of each sequence."""
    return sum(min(len(sequence) - 1, length) for sequence in sequences)
