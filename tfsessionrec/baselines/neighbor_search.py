"""Scores from the nearest past sessions, in compiled code."""

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tfsessionrec.baselines.neighbor_index import IndexArrays

SIMILARITIES = ("vec", "cosine", "jaccard", "dice")


class SearchSettings(NamedTuple):
    """The settings of a search.

    Args:
        k: Number of neighbors.
        sample_size: Number of sessions that are compared, 0 for all.
        recent: Whether the sample prefers the sessions with the larger numbers.
        similarity: Position in `SIMILARITIES`.
        seconds: Seconds in which a session's weight falls to 1 / e, 0 for a constant weight.
        distance: Places in which the weight of a neighbor's item falls to 1 / e, 0 for a constant
            weight.
        remind: Whether the running session's own items get scores.
    """

    k: int
    sample_size: int
    recent: bool
    similarity: int
    seconds: float
    distance: float
    remind: bool


class Workspace(NamedTuple):
    """Memory of one search; between queries `place` and `item_place` are all zero."""

    place: NDArray[np.int64]
    touched: NDArray[np.int64]
    similarity: NDArray[np.float64]
    common: NDArray[np.int64]
    match: NDArray[np.int64]
    item_place: NDArray[np.int64]
    score: NDArray[np.float64]
    scored: NDArray[np.int64]

    @classmethod
    def of(cls, num_sessions: int, num_items: int) -> "Workspace":
        """Memory for searches among so many sessions and items."""
        return cls(
            place=np.zeros(num_sessions, np.int64),
            touched=np.empty(num_sessions, np.int64),
            similarity=np.empty(num_sessions, np.float64),
            common=np.empty(num_sessions, np.int64),
            match=np.empty(num_sessions, np.int64),
            item_place=np.zeros(num_items, np.int64),
            score=np.empty(num_items, np.float64),
            scored=np.empty(num_items, np.int64),
        )


class WeightedQueries(NamedTuple):
    """Queries of a search.

    Args:
        items: Items of the running sessions; query q has those from `offsets[q]` to
            `offsets[q + 1]`.
        offsets: [Q + 1].
        times: [Q] of the requests.
        place_weights: As `items`: the part of the similarity that a common item adds.
        match_weights: As `items`: the weight of a neighbor whose latest common item this is.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    times: NDArray[np.float64]
    place_weights: NDArray[np.float64]
    match_weights: NDArray[np.float64]

    def part(self, first: int, last: int) -> "WeightedQueries":
        """The queries from number `first` to `last`, the latter not included."""
        own = slice(self.offsets[first], self.offsets[last])
        return WeightedQueries(
            self.items[own],
            self.offsets[first : last + 1] - self.offsets[first],
            self.times[first:last],
            self.place_weights[own],
            self.match_weights[own],
        )


@numba.njit(cache=True, nogil=True)
def score_sessions(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    queries: WeightedQueries,
    item_weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """`indptr`, `indices` and `data` of the scores of queries.

    Args:
        index: The past sessions.
        settings: The settings.
        work: Memory that no other thread uses.
        queries: The queries.
        item_weights: [vocabulary_size], weights of the scored items.
    """
    num_queries = len(queries.times)
    indptr = np.zeros(num_queries + 1, np.int64)
    indices = np.empty(256 * num_queries + 256, np.int32)
    data = np.empty(len(indices), np.float32)
    used = 0
    for q in range(num_queries):
        own = slice(queries.offsets[q], queries.offsets[q + 1])
        items = queries.items[own]
        size = _score(
            index,
            settings,
            work,
            items,
            queries.times[q],
            queries.place_weights[own],
            queries.match_weights[own],
        )
        if not settings.remind:
            for item in items:
                work.score[item] = 0.0
        if used + size > len(indices):
            room = 2 * (used + size)
            more_indices, more_data = np.empty(room, np.int32), np.empty(room, np.float32)
            more_indices[:used], more_data[:used] = indices[:used], data[:used]
            indices, data = more_indices, more_data
        for i in range(size):
            item = work.scored[i]
            work.item_place[item] = 0
            value = work.score[item] * item_weights[item]
            if value > 0:
                indices[used], data[used] = item, value
                used += 1
        indptr[q + 1] = used
    return indptr, indices[:used], data[:used]


@numba.njit(cache=True, nogil=True)
def explain_item(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    query: WeightedQueries,
    item_weights: NDArray[np.float64],
    item: int,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of the neighbors that hold an item, their similarities, their parts of its score.

    Arguments as those of `score_sessions`, with one query.
    """
    items = query.items
    numbers, similarity, match = _neighbors(
        index, settings, work, items, query.times[0], query.place_weights
    )
    added = np.zeros(len(numbers))
    for at in range(len(numbers)):
        place = _place_of(index, numbers[at], item)
        if place > 0:
            value = similarity[at] * query.match_weights[match[at]] * item_weights[item]
            if settings.distance > 0:
                middle = _place_of(index, numbers[at], items[match[at]])
                value *= np.exp(-abs(place - middle) / settings.distance)
            added[at] = value
    if not settings.remind:
        for own in items:
            if own == item:
                added[:] = 0.0
    kept = added > 0
    return numbers[kept], similarity[kept], added[kept]


@numba.njit(cache=True, nogil=True)
def _score(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    items: NDArray[np.int32],
    time: float,
    place_weights: NDArray[np.float64],
    match_weights: NDArray[np.float64],
) -> int:
    """Adds the neighbors' weights to `work.score`; returns the number of `work.scored`."""
    numbers, similarity, match = _neighbors(index, settings, work, items, time, place_weights)
    size = 0
    for at in range(len(numbers)):
        number = numbers[at]
        weight = similarity[at] * match_weights[match[at]]
        middle = _place_of(index, number, items[match[at]]) if settings.distance > 0 else 0
        for entry in range(index.start[number], index.start[number + 1]):
            item = index.items[entry]
            value = weight
            if settings.distance > 0:
                value *= np.exp(-abs(index.places[entry] - middle) / settings.distance)
            if work.item_place[item] == 0:
                work.item_place[item] = 1
                work.score[item] = 0.0
                work.scored[size] = item
                size += 1
            work.score[item] += value
    return size


@numba.njit(cache=True, nogil=True)
def _neighbors(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    items: NDArray[np.int32],
    time: float,
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The neighbors as (numbers, similarities, places of the latest common items).

    The k sessions of the largest similarity, ties by the larger priority.
    """
    distinct = _distinct(items)
    size = _collect(index, settings, work, items, distinct, weights)
    if 0 < settings.sample_size < size:
        size = _sample(index, settings.sample_size, work, size)
    size = _compare(index, settings, work, size, len(distinct), time)
    if size > settings.k:
        size = _nearest(index, settings.k, work, size)
    return work.touched[:size], work.similarity[:size], work.match[:size]


@numba.njit(cache=True, nogil=True)
def _distinct(items: NDArray[np.int32]) -> NDArray[np.int64]:
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
def _collect(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    items: NDArray[np.int32],
    distinct: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> int:
    """Lists the sessions that share an item, with the sum of weights; returns their number."""
    size = 0
    for position in distinct:
        entry = index.head[items[position]]
        found = 0
        while entry >= 0:
            number = index.entry_session[entry]
            entry = index.entry_previous[entry]
            if not index.alive[number]:
                continue
            found += 1
            at = work.place[number] - 1
            if at < 0:
                at = size
                size += 1
                work.place[number] = size
                work.touched[at], work.match[at] = number, position
                work.similarity[at], work.common[at] = 0.0, 0
            work.similarity[at] += weights[position]
            work.common[at] += 1
            # Older sessions of this item rank behind `sample_size` others already.
            if settings.recent and found == settings.sample_size:
                break
    for at in range(size):
        work.place[work.touched[at]] = 0
    return size


@numba.njit(cache=True, nogil=True)
def _sample(index: IndexArrays, sample_size: int, work: Workspace, size: int) -> int:
    """Keeps the `sample_size` sessions of the largest priority."""
    order = index.priority[work.touched[:size]]
    least = np.partition(order, size - sample_size)[size - sample_size]
    kept = 0
    for at in range(size):
        if order[at] >= least:
            work.touched[kept], work.match[kept] = work.touched[at], work.match[at]
            work.similarity[kept], work.common[kept] = work.similarity[at], work.common[at]
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _compare(
    index: IndexArrays,
    settings: SearchSettings,
    work: Workspace,
    size: int,
    own: int,
    time: float,
) -> int:
    """Turns sums of weights into similarities; keeps sessions whose similarity is above 0."""
    kept = 0
    for at in range(size):
        number = work.touched[at]
        other = index.start[number + 1] - index.start[number]
        value = work.similarity[at]
        if settings.similarity == 0:
            value /= own
        elif settings.similarity == 1:
            value /= np.sqrt(own * other)
        elif settings.similarity == 2:
            value /= own + other - work.common[at]
        else:
            value *= 2.0 / (own + other)
        if settings.seconds > 0:
            value *= np.exp(-max(time - index.time[number], 0.0) / settings.seconds)
        value = np.float64(np.float32(value))  # ties do not depend on the order of summation
        if value > 0:
            work.touched[kept], work.match[kept] = number, work.match[at]
            work.similarity[kept] = value
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _nearest(index: IndexArrays, k: int, work: Workspace, size: int) -> int:
    """Keeps the k most similar sessions, ties by the larger priority."""
    similarity, priority = work.similarity, index.priority
    least = np.partition(similarity[:size], size - k)[size - k]
    above = 0
    for at in range(size):
        above += similarity[at] > least
    equal = work.touched[:size][similarity[:size] == least]
    ranks = priority[equal]
    lowest = np.partition(ranks, len(ranks) - (k - above))[len(ranks) - (k - above)]
    kept = 0
    for at in range(size):
        value, number = similarity[at], work.touched[at]
        if value > least or (value == least and priority[number] >= lowest and kept < k):
            work.touched[kept], work.match[kept] = number, work.match[at]
            similarity[kept] = value
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _place_of(index: IndexArrays, number: int, item: int) -> int:
    """The last place of an item in a session, 0 if the session does not hold it."""
    for entry in range(index.start[number], index.start[number + 1]):
        if index.items[entry] == item:
            return index.places[entry]
    return 0
