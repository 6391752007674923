"""Choices that change results, each against its definition written out."""

import numpy as np
import pytest

from tfsessionrec.baselines import Popularity
from tfsessionrec.evaluation import evaluate

SIZE, FIRST = 12, 3
COUNTS = [0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1]  # Item i has the rank i - 2.


def batch(target_ids):
    rng = np.random.default_rng(1)
    items = rng.integers(0, SIZE, (40, 3, 3))
    items = -np.sort(-items, axis=2) * np.any(items > 0, axis=2, keepdims=True)
    items[:, 0, 0] = np.maximum(items[:, 0, 0], 1)
    found = {"item_ids": items.astype("int32")}
    if target_ids:
        found["target_ids"] = rng.integers(0, SIZE, (40, 4)).astype("int32")
    return found


def written_out(batch, k, repeats, misses):
    """(recalls of all queries, skipped, repeats left out)"""
    asked = []
    for row, sessions in enumerate(batch["item_ids"].tolist()):
        if "target_ids" in batch:
            asked.append((sessions, batch["target_ids"][row].tolist()))
            continue
        asked += [(sessions[: t + 1], sessions[t + 1]) for t in range(len(sessions) - 1)]
    recalls, skipped, left_out = [], 0, 0
    for history, positives in asked:
        seen = {item for session in history for item in session}
        known = {item for item in positives if item >= FIRST}
        unknown = sum(0 < item < FIRST for item in positives) if misses else 0
        if not any(positives):
            continue
        if not repeats:
            left_out += len(known & seen)
            known -= seen
        if known or unknown:
            hits = sum(item - 2 <= k for item in known)
            recalls.append(hits / (len(known) + unknown))
        else:
            skipped += 1
    return recalls, skipped, left_out


@pytest.mark.parametrize("target_ids", [False, True])
@pytest.mark.parametrize("misses", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
def test_repeats_and_unknown_targets(repeats, misses, target_ids):
    given = batch(target_ids)
    recalls, skipped, left_out = written_out(given, 4, repeats, misses)
    report = evaluate(
        Popularity(COUNTS),
        [given],
        k=4,
        repeats=repeats,
        unknown_targets="miss" if misses else "leave_out",
        first_item_index=FIRST,
        keep_queries=True,
    )
    assert report.num_queries == len(recalls)
    assert report.num_skipped == skipped
    assert report["recall@4"] == pytest.approx(np.mean(recalls))
    assert report.queries.metrics("model")["recall@4"] == pytest.approx(recalls)
    unknown = "counted as misses" if misses else "left out"
    assert report.options[f"unknown targets {unknown}"] > 0
    assert report.options["repeats"] == (repeats or f"no, {left_out} targets left out")
    assert left_out == 0 if repeats else left_out > 0


def test_only_unknown_targets_are_a_query_that_misses():
    given = {"item_ids": [[[5], [1]]]}
    report = evaluate(Popularity(COUNTS), [given], k=20, unknown_targets="miss")
    assert (report.num_queries, report["hit_rate@20"]) == (1, 0.0)
    with pytest.raises(ValueError, match="should hold at least one query"):
        evaluate(Popularity(COUNTS), [given], k=20)


def test_bad_choices():
    with pytest.raises(ValueError, match='`unknown_targets` should be "leave_out" or "miss"'):
        evaluate(Popularity(COUNTS), [batch(False)], unknown_targets="skip")
    with pytest.raises(ValueError, match="`bootstrap` should be a non-negative integer"):
        evaluate(Popularity(COUNTS), [batch(False)], bootstrap=-1)


@pytest.mark.parametrize("target_ids", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
def test_a_report_that_leaves_targets_out_has_both_figures(repeats, target_ids):
    given = batch(target_ids)
    how = {"k": (1, 4), "repeats": repeats, "first_item_index": FIRST}
    report = evaluate(Popularity(COUNTS), [given], **how)
    other = evaluate(Popularity(COUNTS), [given], unknown_targets="miss", **how)
    assert report.targets["unknown_as_misses"]["model"] == pytest.approx(other.metrics)
    assert report["recall@4"] > other["recall@4"]
    known, unknown = report.targets["known"], report.targets["unknown"]
    assert other.targets == {"known": known, "unknown": unknown}
    assert known > 0
    assert unknown > 0
    table = str(report).split("queries")[0]
    assert f"{other['recall@4']:.4f}" in table
    assert "known targets" in table
    assert f"{unknown}\n" in table
