"""Evaluation in the order of time, each system knowing what came before each request."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tfsessionrec import data
from tfsessionrec.baselines import SessionBaseline
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.queries import next_sessions
from tfsessionrec.evaluation.report import Report

_ANY = np.iinfo(np.int64).max  # `evaluate` checks indices against the real vocabulary.


def evaluate_streaming(
    model: Any,
    dataset: Iterable[Mapping[str, Any]],
    events: Sessions,
    k: int | Iterable[int] = (20, 100),
    *,
    vocabulary: Vocabulary,
    tick: float | None = None,
    refit: bool = True,
    baselines: Mapping[str, Any] | None = None,
    progress: bool = False,
    **options: Any,
) -> Report:
    """Evaluates as a live system would be: it knows every interaction before a request, no other.

    Requests are asked in order of time. Before each one, every system that can (`update`) is told
    of all events with `timestamp < request time` that it does not know yet; what happens at the
    moment of the request or later it cannot know. How a system learns decides what is done:

    - `fit` and `update` (`tfsessionrec.baselines`): fitted anew to the events before the first
      request, then told of the others as requests go on.
    - `causal = True` (popularity of what came before a request): the same by its definition, so
      that it is told of all events at once, which is fast.
    - `trend` (`tfsessionrec.models`): its log of events is replaced by `events`; it counts those
      before the tick of each request.
    - Anything else stays as it is.

    Where a system has `systems`, such as an `Ensemble`, this holds for each of them. All are
    changed by it. All batches of the dataset are kept in memory.

    Args:
        model: As in `evaluate`.
        dataset: Session batches with `request_times` (`data.session_dataset`), in any order.
        events: Everything that happened, before the requests and meanwhile, held-out sessions too.
        k: Lengths of the list, `(20, 100)` by default.
        vocabulary: The items.
        tick: Seconds. At a request at time t systems are told of the events before the last
            multiple of `tick` that is not after t, so that requests in between go together. None,
            the default, is exact.
        refit: False leaves what the systems have learned and tells them of all of `events`, which
            are then to be later than that. True by default.
        baselines: Further systems by name, as in `evaluate`.
        progress: Whether to show a progress bar. False by default.
        **options: Of `evaluate`.

    Returns:
        A `Report`. Its options say what was told to whom.

    Raises:
        ValueError: If an argument is out of its range, or the batches have no `request_times`.

    Example:

    >>> import polars as pl
    >>> import tfsessionrec as sr
    >>> log = pl.DataFrame({"s": [1, 1, 2, 2, 3, 3], "item_id": ["tea", "cup"] * 3,
    ...                     "timestamp": [0, 10, 20, 30, 40, 50]})
    >>> sessions = sr.data.sessionize(log, session="s")
    >>> vocabulary = sr.data.Vocabulary.from_sessions(sessions)
    >>> dataset = sr.data.session_dataset(sr.data.expand_prefixes(sessions), vocabulary,
    ...                                   targets="last", request_times="last_interaction")
    >>> report = evaluate_streaming(sr.baselines.AssociationRules(), dataset, sessions, k=1,
    ...                             vocabulary=vocabulary)
    >>> report["hit_rate@1"]  # of the first cup nothing was known
    0.666...
    """
    begin = time.perf_counter()
    if tick is not None and not (np.isfinite(tick) and tick > 0):
        raise ValueError(
            f"`tick` should be a positive number of seconds. Received: `tick`={tick!r}"
        )
    batches = [{key: np.asarray(value) for key, value in batch.items()} for batch in dataset]
    requests = [_requests(batch, options.get("positions", "auto")) for batch in batches]
    times = np.concatenate([request.times for request in requests])
    if not len(times):
        raise ValueError("`dataset` should hold at least one request. Received: none")
    known_until = times if tick is None else np.floor(times / tick) * tick
    systems = {"model": model, **(baselines or {})}
    told = {name: _told(system) for name, system in systems.items()}
    leaves = [leaf for system in systems.values() for leaf in _leaves(system)]
    stepwise = [leaf for leaf in leaves if _kind(leaf) == "updated"]
    _begin(leaves, events, vocabulary, known_until.min(), refit)
    stream: Iterable[Mapping[str, Any]] = batches
    if stepwise:
        rest = events.events.sort("timestamp", maintain_order=True)
        if refit:
            rest = rest.filter(pl.col("timestamp") >= known_until.min())
        stream = _replay(batches, requests, known_until, rest, stepwise)
        total = len(np.unique(known_until))
        stream = tqdm(stream, desc="evaluate", unit=" steps", total=total, disable=not progress)
    report = evaluate(
        model,
        stream,
        k,
        vocabulary=vocabulary,
        baselines=baselines,
        progress=progress and not stepwise,
        **options,
    )
    streaming = {
        "streaming": "every event before "
        + ("the request" if tick is None else f"the last multiple of {tick:g} s before the request")
        + " is told",
        **{f"told to {name}": what for name, what in told.items()},
    }
    return dataclasses.replace(
        report,
        options={**report.options, **streaming},
        seconds=time.perf_counter() - begin,
    )


@dataclasses.dataclass(frozen=True)
class _Requests:
    """What one batch asks, [R] each: the row, the position (None: the whole row), the time."""

    rows: NDArray[np.int64]
    positions: NDArray[np.int64] | None
    times: NDArray[np.float64]


def _requests(batch: Mapping[str, Any], positions: str) -> _Requests:
    if "request_times" not in batch:
        raise ValueError(
            "`dataset` should give `request_times`, which say what came before a request: see "
            f"`data.session_dataset`. Received: {', '.join(sorted(batch))}"
        )
    times = batch["request_times"].astype(np.float64)
    if positions == "target_ids" or (positions == "auto" and "target_ids" in batch):
        rows = np.arange(len(times))
        if times.ndim == 2:
            real = (batch["item_ids"] > 0).any(axis=2)
            last = real.shape[1] - 1 - real[:, ::-1].argmax(axis=1)
            times = times[rows, np.where(real.any(axis=1), last, 0)]
        return _Requests(rows, None, times)
    asked = next_sessions(batch, _ANY)
    times = times[asked.rows, asked.positions] if times.ndim == 2 else times[asked.rows]
    return _Requests(asked.rows, asked.positions, times)


def _replay(
    batches: list[dict[str, Any]],
    requests: list[_Requests],
    known_until: NDArray[np.float64],
    events: pl.DataFrame,
    systems: list[Any],
) -> Iterator[Mapping[str, Any]]:
    """The requests in order of time; before each moment the systems are told what came before."""
    batch_of = np.repeat(np.arange(len(batches)), [len(one.times) for one in requests])
    rows = np.concatenate([one.rows for one in requests])
    positions = np.concatenate(
        [np.full(len(one.rows), -2) if one.positions is None else one.positions for one in requests]
    )
    first_row = np.cumsum([0, *(len(batch["item_ids"]) for batch in batches)])
    # Of one moment those of one batch stand together.
    order = np.lexsort([rows, batch_of, known_until])
    moment = known_until[order]
    starts = np.flatnonzero(np.append(True, np.diff(moment) > 0))
    stamps = events["timestamp"].to_numpy()
    told = 0
    for start, stop in zip(starts, [*starts[1:], len(order)]):
        until = int(np.searchsorted(stamps, moment[start], side="left"))
        if until > told:
            for system in systems:
                system.update(events[told:until])
            told = until
        some = order[start:stop]
        parts = []
        for source in np.unique(batch_of[some]):
            of_batch = some[batch_of[some] == source]
            own = rows[of_batch]
            taken = {key: value[own] for key, value in batches[source].items()}
            if positions[of_batch[0]] != -2:
                asked = np.zeros(taken["item_ids"].shape[:2], bool)
                asked[np.arange(len(own)), positions[of_batch] + 1] = True
                taken["is_target"] = asked
            if "origin" not in taken:
                number = first_row[source] + own
                taken["origin"] = np.broadcast_to(number[:, None, None], taken["item_ids"].shape)
            parts.append(taken)
        yield parts[0] if len(parts) == 1 else _side_by_side(parts)


def _side_by_side(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of several batches as one, padded to the longest."""
    joined = {}
    for key in parts[0]:
        arrays = [part[key] for part in parts]
        widest = np.max([array.shape[1:] for array in arrays], axis=0)
        joined[key] = np.concatenate(
            [
                np.pad(array, [(0, 0), *((0, more) for more in widest - array.shape[1:])])
                for array in arrays
            ]
        )
    return joined


def _begin(
    leaves: list[Any], events: Sessions, vocabulary: Vocabulary, first: float, refit: bool
) -> None:
    """Brings every system to what it knows before the first request."""
    for leaf in leaves:
        kind = _kind(leaf)
        if kind == "trend":
            leaf.trend.set_events(**data.interaction_log(events, vocabulary))
        elif kind == "causal" and refit:
            leaf.fit(events, vocabulary)
        elif kind == "causal":
            leaf.update(events.events.sort("timestamp", maintain_order=True))
        elif kind == "updated" and refit:
            before = events.events.filter(pl.col("timestamp") < first)
            leaf.fit(Sessions(before), vocabulary)


def _leaves(system: Any) -> list[Any]:
    """The system itself, or what it is made of."""
    parts = getattr(system, "systems", None)
    return [system] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def _kind(leaf: Any) -> str:
    """How a system learns of events."""
    if getattr(leaf, "trend", None) is not None:
        return "trend"
    if not hasattr(leaf, "update") or getattr(type(leaf), "update", None) is SessionBaseline.update:
        return "static"
    return "causal" if getattr(leaf, "causal", False) else "updated"


def _told(system: Any) -> str:
    """What a report says of a system."""
    words = {
        "trend": "events, as its trend",
        "causal": "events, counted by time",
        "updated": "events, learned one step after another",
        "static": "nothing",
    }
    return "; ".join(dict.fromkeys(words[_kind(leaf)] for leaf in _leaves(system)))
