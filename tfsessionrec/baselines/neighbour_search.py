"""Scores from the nearest past sessions, in compiled code."""

import dataclasses
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.neighbour_index import IndexArrays

SIMILARITIES = ("vec", "cosine", "jaccard", "dice")


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """What a search is told beside index and queries.

    Args:
        k: Number of neighbours.
        sample_size: How many sessions are compared, 0 for all.
        recent: Whether the sample's order is that of the sessions' numbers.
        similarity: Position in `SIMILARITIES`.
        seconds: Seconds in which a session's weight falls to 1 / e, 0 for no fall.
        distance: Places in which the weight of a neighbour's item falls to 1 / e, 0 for no fall.
        remind: Whether the running session's own items get scores.
    """

    k: int
    sample_size: int
    recent: bool
    similarity: int
    seconds: float
    distance: float
    remind: bool


class Workspace:
    """Memory of one search; between queries `place` and `item_place` are all zero."""

    def __init__(self, num_sessions: int, num_items: int) -> None:
        self.place = np.zeros(num_sessions, np.int64)
        self.touched = np.empty(num_sessions, np.int64)
        self.similarity = np.empty(num_sessions, np.float64)
        self.common = np.empty(num_sessions, np.int64)
        self.match = np.empty(num_sessions, np.int64)
        self.item_place = np.zeros(num_items, np.int64)
        self.score = np.empty(num_items, np.float64)
        self.scored = np.empty(num_items, np.int64)

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """In the order in which the compiled code takes them."""
        return tuple(vars(self).values())


def score_sessions(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    items: NDArray[np.int32],
    offsets: NDArray[np.int64],
    times: NDArray[np.float64],
    place_weights: NDArray[np.float64],
    match_weights: NDArray[np.float64],
    item_weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """`indptr`, `indices` and `data` of the scores of queries.

    Args:
        index: The past sessions.
        settings: What to do.
        work: Memory.
        items: Items of the running sessions; query q has those from `offsets[q]` to
            `offsets[q + 1]`.
        offsets: [Q + 1].
        times: [Q] of the requests.
        place_weights: As `items`: what a common item adds to the similarity.
        match_weights: As `items`: a neighbour's weight when it is the latest common item.
        item_weights: [vocabulary_size], of the items scored.
    """
    return _score(
        _fields(index),
        _fields(settings),
        work.arrays(),
        items,
        offsets,
        times,
        place_weights,
        match_weights,
        item_weights,
    )


def explain_item(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    items: NDArray[np.int32],
    time: float,
    place_weights: NDArray[np.float64],
    match_weights: NDArray[np.float64],
    item_weights: NDArray[np.float64],
    item: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of the neighbours that hold an item, their similarities, what each adds to its score.

    Arguments as those of `score_sessions`, of one query.
    """
    return _explain(
        _fields(index),
        _fields(settings),
        work.arrays(),
        items,
        time,
        place_weights,
        match_weights,
        item_weights,
        item,
    )


def _fields(record: Any) -> tuple[Any, ...]:
    return tuple(vars(record).values())


@numba.njit(cache=True, nogil=True)
def _distinct(items: Any) -> Any:
    """The places of the items' last occurrences, the latest first."""
    places = np.empty(len(items), np.int64)
    size = 0
    for place in range(len(items) - 1, -1, -1):
        again = False
        for i in range(size):
            if items[places[i]] == items[place]:
                again = True
                break
        if not again:
            places[size] = place
            size += 1
    return places[:size]


@numba.njit(cache=True, nogil=True)
def _neighbours(
    index: Any, settings: Any, work: Any, items: Any, distinct: Any, time: float, weights: Any
) -> Any:
    """The neighbours as (numbers, similarities, places of the latest common items).

    The k sessions of the largest similarity, of equal ones those of the larger priority.
    """
    head, entry_session, entry_previous, alive, priority, times, start = index[:7]
    k, sample_size, recent, kind, seconds = settings[:5]
    place, touched, similarity, common, match = work[:5]
    size = 0
    for position in distinct:
        entry = head[items[position]]
        found = 0
        while entry >= 0:
            number = entry_session[entry]
            entry = entry_previous[entry]
            if not alive[number]:
                continue
            found += 1
            at = place[number] - 1
            if at < 0:
                at = size
                size += 1
                place[number] = size
                touched[at], match[at], similarity[at], common[at] = number, position, 0.0, 0
            similarity[at] += weights[position]
            common[at] += 1
            # An older session of this item is behind `sample_size` others already.
            if recent and found == sample_size:
                break
    for at in range(size):
        place[touched[at]] = 0
    if 0 < sample_size < size:
        order = priority[touched[:size]]
        least = np.partition(order, size - sample_size)[size - sample_size]
        kept = 0
        for at in range(size):
            if order[at] >= least:
                touched[kept], match[kept] = touched[at], match[at]
                similarity[kept], common[kept] = similarity[at], common[at]
                kept += 1
        size = kept
    kept = 0
    for at in range(size):
        number = touched[at]
        own, other = len(distinct), start[number + 1] - start[number]
        value = similarity[at]
        if kind == 0:
            value /= own
        elif kind == 1:
            value /= np.sqrt(own * other)
        elif kind == 2:
            value /= own + other - common[at]
        else:
            value *= 2.0 / (own + other)
        if seconds > 0:
            value *= np.exp(-max(time - times[number], 0.0) / seconds)
        value = np.float64(np.float32(value))  # equal ones are equal whatever their sums' order
        if value > 0:
            touched[kept], match[kept], similarity[kept] = number, match[at], value
            kept += 1
    size = kept
    if size > k:
        least = np.partition(similarity[:size], size - k)[size - k]
        above = 0
        for at in range(size):
            above += similarity[at] > least
        equal = touched[:size][similarity[:size] == least]
        ranks = priority[equal]
        lowest = np.partition(ranks, len(ranks) - (k - above))[len(ranks) - (k - above)]
        kept = 0
        for at in range(size):
            value = similarity[at]
            if value > least or (value == least and priority[touched[at]] >= lowest and kept < k):
                touched[kept], match[kept], similarity[kept] = touched[at], match[at], value
                kept += 1
        size = kept
    return touched[:size], similarity[:size], match[:size]


@numba.njit(cache=True, nogil=True)
def _place_of(index: Any, number: int, item: int) -> int:
    start, held, places = index[6:]
    for entry in range(start[number], start[number + 1]):
        if held[entry] == item:
            return places[entry]
    return 0


@numba.njit(cache=True, nogil=True)
def _score(
    index: Any,
    settings: Any,
    work: Any,
    items: Any,
    offsets: Any,
    times: Any,
    place_weights: Any,
    match_weights: Any,
    item_weights: Any,
) -> Any:
    start, held, places = index[6:]
    distance, remind = settings[5:]
    item_place, score, scored = work[5:]
    num_queries = len(offsets) - 1
    indptr = np.zeros(num_queries + 1, np.int64)
    indices = np.empty(256 * num_queries + 256, np.int32)
    data = np.empty(len(indices), np.float32)
    used = 0
    for q in range(num_queries):
        own = items[offsets[q] : offsets[q + 1]]
        mine = match_weights[offsets[q] : offsets[q + 1]]
        numbers, similarity, match = _neighbours(
            index,
            settings,
            work,
            own,
            _distinct(own),
            times[q],
            place_weights[offsets[q] : offsets[q + 1]],
        )
        size = 0
        for at in range(len(numbers)):
            number = numbers[at]
            weight = similarity[at] * mine[match[at]]
            middle = _place_of(index, number, own[match[at]]) if distance > 0 else 0
            for entry in range(start[number], start[number + 1]):
                item = held[entry]
                value = weight
                if distance > 0:
                    value *= np.exp(-abs(places[entry] - middle) / distance)
                if item_place[item] == 0:
                    item_place[item] = 1
                    score[item] = 0.0
                    scored[size] = item
                    size += 1
                score[item] += value
        if not remind:
            for item in own:
                score[item] = 0.0
        if used + size > len(indices):
            room = 2 * (used + size)
            more_indices, more_data = np.empty(room, np.int32), np.empty(room, np.float32)
            more_indices[:used], more_data[:used] = indices[:used], data[:used]
            indices, data = more_indices, more_data
        for i in range(size):
            item = scored[i]
            item_place[item] = 0
            value = score[item] * item_weights[item]
            if value > 0:
                indices[used], data[used] = item, value
                used += 1
        indptr[q + 1] = used
    return indptr, indices[:used], data[:used]


@numba.njit(cache=True, nogil=True)
def _explain(
    index: Any,
    settings: Any,
    work: Any,
    items: Any,
    time: float,
    place_weights: Any,
    match_weights: Any,
    item_weights: Any,
    item: int,
) -> Any:
    distance, remind = settings[5:]
    numbers, similarity, match = _neighbours(
        index, settings, work, items, _distinct(items), time, place_weights
    )
    added = np.zeros(len(numbers))
    for at in range(len(numbers)):
        place = _place_of(index, numbers[at], item)
        if place > 0:
            value = similarity[at] * match_weights[match[at]] * item_weights[item]
            if distance > 0:
                middle = _place_of(index, numbers[at], items[match[at]])
                value *= np.exp(-abs(place - middle) / distance)
            added[at] = value
    if not remind:
        for own in items:
            if own == item:
                added[:] = 0.0
    kept = added > 0
    return numbers[kept], similarity[kept], added[kept]
