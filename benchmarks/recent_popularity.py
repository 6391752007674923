"""Recent popularity on the Globo log: the metrics of ranking by the number of recent clicks.

    python benchmarks/recent_popularity.py --events globo_clicks_hours_000_095.parquet --json FILE

Protocol: users with at least two sessions; the targets are the articles of a user's last session,
and every article of the other sessions is ranked, with ties against the targets. The score of a
candidate is its number of clicks by all users in a window that ends at the start of the target
session. Articles of the user's history are ranked too. For comparison, the same window before the
last click of the user's previous session shows how fast the counts become outdated.
"""

import argparse
import json
import pathlib
import time
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from section import Report

import tfsessionrec as sr
from tfsessionrec.metrics import hit_rate, mrr, ndcg, recall

K = (20, 100)
HOURS = (0.25, 1.0, 6.0, 24.0)
STALE_HOURS = (1.0,)


def window_counts(
    times: np.ndarray, items: np.ndarray, num_items: int, at: np.ndarray, window: float
) -> Iterator[np.ndarray]:
    """The clicks of each item in `[t - window, t)`, for each t of `at` in turn.

    Args:
        times: [N], ascending.
        items: [N], item indices; negative ones are not counted.
        num_items: Number of items.
        at: [Q], ascending.
        window: Length of the window, in the unit of `times`.

    Yields:
        [num_items] int64; the same array each time, updated in place.
    """
    counts = np.zeros(num_items + 1, np.int64)  # the last entry collects the uncounted clicks
    items = np.where(items < 0, num_items, items)
    # Each click enters once and leaves once.
    enter = np.searchsorted(times, at, side="left")
    leave = np.searchsorted(times, at - window, side="left")
    entered = left = 0
    for upper, lower in zip(enter, leave, strict=True):
        np.add.at(counts, items[entered:upper], 1)
        np.subtract.at(counts, items[left:lower], 1)
        entered, left = upper, lower
        yield counts[:num_items]


def target_ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Ranks of the targets, from 1, with ties against them; targets do not lower each other."""
    own = np.sort(scores[targets])[::-1]
    not_below = (scores >= own[:, None]).sum(axis=1)
    targets_not_below = (own >= own[:, None]).sum(axis=1)
    return not_below - targets_not_below + np.arange(len(own)) + 1


def measure(
    sessions: sr.data.Sessions, hours: Sequence[float], stale_hours: Sequence[float] = ()
) -> Report:
    """The metrics of each window, and the numbers of queries and candidates.

    Args:
        sessions: The log.
        hours: Lengths of windows that end at the start of the target session.
        stale_hours: Lengths of windows that end at the last click of the user's previous session.
    """
    train, test = sr.data.leave_last_session_out(sessions)
    vocabulary = sr.data.Vocabulary.from_sessions(train)

    def known(ids: pl.Series) -> np.ndarray:
        return np.maximum(vocabulary.lookup(ids.to_numpy()) - vocabulary.first_item_index, -1)

    clicks = sessions.events.sort("timestamp", maintain_order=True)
    times, items = clicks["timestamp"].to_numpy(), known(clicks["item_id"])
    queries = (
        test.events.with_columns(item=known(test.events["item_id"]))
        .group_by("user_id", maintain_order=True)
        .agg(
            start=pl.col("timestamp").filter("is_target").first(),
            end=pl.col("timestamp").filter(~pl.col("is_target")).last(),
            targets=pl.col("item").filter(pl.col("is_target") & (pl.col("item") >= 0)).unique(),
        )
        .filter(pl.col("targets").list.len() > 0)
    )

    def metrics_at(moment: str, window: float) -> dict[str, float]:
        asked = queries.sort(moment)
        at, targets = asked[moment].to_numpy(), asked["targets"].to_list()
        counts = window_counts(times, items, vocabulary.num_items, at, window * 3600)
        ranks = np.zeros((len(targets), max(map(len, targets))), np.int64)
        for row, (scores, wanted) in enumerate(zip(counts, targets, strict=True)):
            ranks[row, : len(wanted)] = target_ranks(scores, np.asarray(wanted))
        return {
            f"{metric.__name__}@{k}": float(metric(ranks, k).mean())
            for metric in (recall, hit_rate, ndcg, mrr)
            for k in K
        }

    return {
        "queries": len(queries),
        "candidates": vocabulary.num_items,
        "hours": {f"{window:g}": metrics_at("start", window) for window in hours},
        "stale hours": {f"{window:g}": metrics_at("end", window) for window in stale_hours},
    }


def measure_file(events: pathlib.Path, hours: Sequence[float]) -> Report:
    """`measure` on the Globo log."""
    sessions = sr.data.sessionize(
        sr.data.read_events(events),
        user="user_id",
        session="session_id",
        item="click_article_id",
        time="click_timestamp",
        time_unit="ms",
    )
    begin = time.perf_counter()
    result = measure(sessions, hours, STALE_HOURS)
    return {**result, "rows": rows(result), "seconds": time.perf_counter() - begin}


def rows(result: Report) -> dict[str, dict[str, float]]:
    """The metrics of each window by its title in the table."""
    found = {}
    moments = {"hours": "the session", "stale hours": "the user's last click"}
    for key, moment in moments.items():
        for window, metrics in result[key].items():
            hours = float(window)
            length = f"{hours:g} hours" if hours > 1 else f"{60 * hours:g} minutes"
            found[f"clicks of the {length} before {moment}"] = metrics
    return found


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=pathlib.Path, required=True, help="the Globo log")
    parser.add_argument("--hours", type=float, nargs="*", default=HOURS, help="windows, in hours")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    arguments = parser.parse_args()
    result = measure_file(arguments.events, arguments.hours)
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
