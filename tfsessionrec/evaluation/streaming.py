"""Evaluation in the order of time, each system knowing the events before each request."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm.auto import tqdm

from tfsessionrec import checks, data
from tfsessionrec.baselines.running_sessions import last_sessions, request_times
from tfsessionrec.data import Sessions, Vocabulary
from tfsessionrec.evaluation.arguments import check_shared, check_systems, each_batch
from tfsessionrec.evaluation.choices import TARGETS, list_lengths
from tfsessionrec.evaluation.evaluate import evaluate
from tfsessionrec.evaluation.queries import next_sessions
from tfsessionrec.evaluation.report import Report
from tfsessionrec.types import Features

_ANY = np.iinfo(np.int64).max  # `evaluate` checks indices against the real vocabulary.

_Batch = dict[str, NDArray[np.generic]]
_Learning = Literal["nothing", "by_time", "in_steps", "trend"]
_LEARNING = {
    "nothing": "nothing",
    "by_time": "events, counted by time",
    "in_steps": "events, learned one step after another",
    "trend": "events, as its trend",
}


def evaluate_streaming(
    model: object,
    dataset: Iterable[Features],
    events: Sessions,
    k: int | Iterable[int] = (20, 100),
    *,
    vocabulary: Vocabulary,
    tick: float | None = None,
    refit: bool = True,
    baselines: Mapping[str, object] | None = None,
    progress: bool = False,
    **options: Any,
) -> Report:
    """Evaluates like a live system: it knows every interaction before a request, and no other.

    Requests are asked in order of time. A system never knows events at the time of a request or
    later. How it learns decides when it gets the events:

    - `learns` is `"in_steps"` (`tfsessionrec.baselines`), or it has `fit` and `update` without
      `learns`: it is fitted to the events before the first request; before each request it is
      updated with the events since the last update.
    - `learns` is `"by_time"` (recent popularity): its scores count only events before a request, so
      that it learns all events at once, which is fast.
    - `trend` (`tfsessionrec.models`): `events` replace its log; it counts the events before the
      tick of each request.
    - Any other system stays as it is.

    Of a system with `systems`, such as an `Ensemble`, each one learns in its own way. The call
    changes the systems. Memory holds all batches of the dataset.

    Args:
        model: As in `evaluate`.
        dataset: Session batches with `request_times` (`data.session_dataset`), in any order.
        events: All events, before the requests and between them, held-out sessions included.
        k: Lengths of the list, `(20, 100)` by default.
        vocabulary: The items.
        tick: None, the default, is exact. A number of seconds groups requests: at time t systems
            know the events before the last multiple of `tick` that is not after t.
        refit: True, the default, fits the systems first. False keeps their state and updates them
            with all of `events`, which should be later than those they have learned.
        baselines: Further systems by name, as in `evaluate`.
        progress: Whether to show a progress bar. False by default.
        **options: Further arguments of `evaluate`.

    Returns:
        A `Report`. Its options have how each system learned.

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
    >>> report["hit_rate@1"]  # the first cup follows no known session
    0.666...
    """
    begin = time.perf_counter()
    checks.instance("vocabulary", vocabulary, Vocabulary)
    check_shared(dataset, vocabulary, None, refit=refit, progress=progress)
    _check_arguments(events, k, baselines, tick, options.get("positions", "auto"))
    requests = _Requests.of(dataset, options.get("positions", "auto"), tick)
    systems = {"model": model, **(baselines or {})}
    ways = {name: _ways(system) for name, system in systems.items()}
    parts = [part for system in systems.values() for part in _parts(system)]
    start = requests.known_until.min()
    for part in parts:
        _start(part, events, vocabulary, start, refit)
    stepwise = [
        part for part in parts if isinstance(part, _Learner) and _learns(part) == "in_steps"
    ]
    stream: Iterable[Features] = requests.batches
    if stepwise:
        rest = events.events.sort("timestamp", maintain_order=True)
        if refit:
            rest = rest.filter(pl.col("timestamp") >= start)
        steps = len(np.unique(requests.known_until))
        stream = tqdm(
            _replay(requests, rest, stepwise), "evaluate", steps, unit=" steps",
            disable=not progress,
        )  # fmt: skip
    report = evaluate(
        model,
        stream,
        k,
        vocabulary=vocabulary,
        baselines=baselines,
        progress=progress and not stepwise,
        **options,
    )
    moment = (
        "the request" if tick is None else f"the last multiple of {tick:g} s before the request"
    )
    streaming = {
        "streaming": f"every event before {moment} is known",
        **{f"events known to {name}": words for name, words in ways.items()},
    }
    return dataclasses.replace(
        report,
        options={**report.options, **streaming},
        seconds=time.perf_counter() - begin,
    )


def _check_arguments(
    events: object,
    k: int | Iterable[int],
    baselines: Mapping[str, object] | None,
    tick: float | None,
    positions: str,
) -> None:
    checks.instance("events", events, Sessions)
    list_lengths(k)
    if tick is not None and not (checks.is_number(tick) and 0 < tick < np.inf):
        raise ValueError(
            f"`tick` should be a positive number of seconds. Received: `tick`={tick!r}"
        )
    if baselines is not None:
        checks.mapping("baselines", baselines, "systems")
        check_systems("baselines", baselines.values())
    checks.choice("positions", positions, ("auto", *TARGETS))


@dataclasses.dataclass(frozen=True)
class _Requests:
    """Every request of a dataset.

    Args:
        batches: The dataset as arrays.
        batch_of: [R], the batch of each request.
        rows: [R], its row there.
        numbers: [R], the number of that row in the whole dataset.
        positions: [R], the last session that it knows; None for whole histories.
        known_until: [R]: systems know the events before this time.
    """

    batches: list[_Batch]
    batch_of: NDArray[np.int64]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    positions: NDArray[np.int64] | None
    known_until: NDArray[np.float64]

    @classmethod
    def of(cls, dataset: Iterable[Features], kind: str, tick: float | None) -> "_Requests":
        """The requests of a dataset, see `evaluate` for `kind`."""
        batches = [
            {key: np.asarray(value) for key, value in one.items()} for one in each_batch(dataset)
        ]
        if kind == "auto":
            kind = "target_ids" if batches and "target_ids" in batches[0] else "every"
        rows, positions, times = [], [], []
        for batch in batches:
            if "request_times" not in batch:
                raise ValueError(
                    "`dataset` should give `request_times`, the time of each request: see "
                    f"`data.session_dataset`. Received: {', '.join(sorted(batch))}"
                )
            if kind == "target_ids":
                row, last = np.arange(len(batch["item_ids"])), last_sessions(batch["item_ids"])
            else:
                asked = next_sessions(batch, _ANY)
                row, last = asked.rows, asked.positions
                positions.append(last)
            rows.append(row)
            times.append(request_times(batch, row, last, every_row=kind == "target_ids"))
        if not sum(map(len, rows)):
            raise ValueError("`dataset` should hold at least one request. Received: none")
        batch_of = np.repeat(np.arange(len(batches)), [len(row) for row in rows])
        first_row = np.cumsum([0, *(len(batch["item_ids"]) for batch in batches)])
        row, time = np.concatenate(rows), np.concatenate(times)
        return cls(
            batches,
            batch_of,
            row,
            first_row[batch_of] + row,
            np.concatenate(positions) if positions else None,
            time if tick is None else np.floor(time / tick) * tick,
        )

    def select(self, chosen: NDArray[np.int64]) -> _Batch:
        """The requests with these numbers as one batch."""
        parts = []
        for source in np.unique(self.batch_of[chosen]):
            here = chosen[self.batch_of[chosen] == source]
            own = self.rows[here]
            part = {key: value[own] for key, value in self.batches[source].items()}
            if self.positions is not None:
                asked = np.zeros(part["item_ids"].shape[:2], bool)
                asked[np.arange(len(own)), self.positions[here] + 1] = True
                part["is_target"] = asked
            if "origin" not in part:
                number = self.numbers[here][:, None, None]
                part["origin"] = np.broadcast_to(number, part["item_ids"].shape)
            parts.append(part)
        return parts[0] if len(parts) == 1 else _join(parts)


def _replay(
    requests: _Requests, events: pl.DataFrame, systems: Sequence["_Learner"]
) -> Iterator[_Batch]:
    """The requests in order of time; before each moment the systems learn the events before it."""
    # Requests of one moment are ordered by batch.
    order = np.lexsort([requests.rows, requests.batch_of, requests.known_until])
    moment = requests.known_until[order]
    starts = np.flatnonzero(np.append(True, np.diff(moment) > 0))
    stamps = events["timestamp"].to_numpy()
    learned = 0
    for start, stop in zip(starts, [*starts[1:], len(order)]):
        until = int(np.searchsorted(stamps, moment[start], side="left"))
        if until > learned:
            for system in systems:
                system.update(events[learned:until])
            learned = until
        yield requests.select(order[start:stop])


def _join(parts: Sequence[_Batch]) -> _Batch:
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


@runtime_checkable
class _Learner(Protocol):
    """A system that learns events, such as `tfsessionrec.baselines.SessionBaseline`."""

    def fit(self, sessions: Sessions, vocabulary: Vocabulary) -> object: ...

    def update(self, events: pl.DataFrame) -> None: ...


@runtime_checkable
class _DeclaresLearning(Protocol):
    """A system that declares how it learns."""

    learns: Literal["nothing", "by_time", "in_steps"]


class _Trend(Protocol):
    def set_events(
        self,
        item_ids: NDArray[np.int64],
        times: NDArray[np.int64],
        session_ids: NDArray[np.int64],
    ) -> None: ...


@runtime_checkable
class _HasTrend(Protocol):
    """A model that may have a trend, such as `tfsessionrec.models.SessionRec`."""

    trend: _Trend | None


@runtime_checkable
class _HasParts(Protocol):
    """A system that is made of others, such as `Ensemble`."""

    systems: Sequence[object]


def _start(
    part: object, events: Sessions, vocabulary: Vocabulary, start: float, refit: bool
) -> None:
    """Brings a system to its state at the first request."""
    way = _learns(part)
    if way == "trend" and isinstance(part, _HasTrend) and part.trend is not None:
        part.trend.set_events(**data.interaction_log(events, vocabulary))
    if not isinstance(part, _Learner):
        return
    if way == "by_time" and not refit:
        part.update(events.events.sort("timestamp", maintain_order=True))
    elif way == "by_time":
        part.fit(events, vocabulary)
    elif way == "in_steps" and refit:
        part.fit(Sessions(events.events.filter(pl.col("timestamp") < start)), vocabulary)


def _parts(system: object) -> list[object]:
    """The systems that a system is made of, or itself."""
    if not isinstance(system, _HasParts):
        return [system]
    return [part for one in system.systems for part in _parts(one)]


def _learns(part: object) -> _Learning:
    if isinstance(part, _HasTrend) and part.trend is not None:
        return "trend"
    if isinstance(part, _DeclaresLearning):
        return part.learns
    return "in_steps" if isinstance(part, _Learner) else "nothing"


def _ways(system: object) -> str:
    """How a system learns, in the words of a report."""
    return "; ".join(dict.fromkeys(_LEARNING[_learns(part)] for part in _parts(system)))
