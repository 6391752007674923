"""A trained system: specification, vocabulary and model in one."""

import abc
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from tfsessionrec import evaluation
from tfsessionrec.checks import instance, sequence, text
from tfsessionrec.data import Sessions, Vocabulary, protocol_batches, split_by_rule
from tfsessionrec.data.examples import PROTOCOLS
from tfsessionrec.data.examples.objectives import Protocol
from tfsessionrec.data.ids import exact_ids
from tfsessionrec.data.reading import EventSource, check_source
from tfsessionrec.evaluation import Report
from tfsessionrec.evaluation.report_data import TRAINED_ON
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.query_model import QueryModel, SparseScorer
from tfsessionrec.systems.known_events import Known, KnownEvents
from tfsessionrec.systems.log_parts import LogParts
from tfsessionrec.systems.settings import Settings
from tfsessionrec.systems.trained_sessions import first_sessions, trained_sessions
from tfsessionrec.types import Features

RawId = str | int
Ranked = list[tuple[RawId, float]]


@dataclasses.dataclass(frozen=True)
class Streaming:
    """An evaluation in the order of time: a system is updated with the events before each request.

    Args:
        events: All events. Defaults to None: those of the log that is evaluated.
        tick: Least seconds between two updates. Defaults to None: before each request.
    """

    events: Sessions | None = None
    tick: float | None = None


class TrainedSystem(abc.ABC):
    """A trained system: what it reads of a history, its vocabulary, and its model.

    `systems.fit` and `systems.load` make one; a model directory stores one. Neural models and
    baselines have the same methods.

    Attributes:
        settings: Everything that decided what training made of the log.
        vocabulary: The items.

    Example:

    ```python
    system = sr.systems.fit("sessionrec-sasrec", "log.csv", user="user_id", session="visit")
    system.recommend([["shoes", "socks"], ["hat"]], k=10)
    system.export("exported/shop/1")
    system.save("model")
    ```
    """

    can_export: ClassVar[bool] = True

    def __init__(self, settings: Settings, vocabulary: Vocabulary) -> None:
        self.settings = settings.with_item_type(vocabulary.dtype)
        self.vocabulary = vocabulary

    @property
    def history(self) -> HistorySpec:
        """What the model reads of a history."""
        return self.settings.history

    @property
    @abc.abstractmethod
    def scorer(self) -> QueryModel | SparseScorer:
        """The model, as evaluation reads it."""

    @abc.abstractmethod
    def recommend(
        self,
        history: Sequence[Sequence[RawId]] | Sequence[RawId],
        k: int = 10,
        *,
        filter_seen: bool = False,
        time: float | None = None,
    ) -> Ranked:
        """The best items for one visitor.

        Args:
            history: The visitor's sessions, oldest first, each a list of raw ids; or one list of
                raw ids, the running session. Empty for a visitor without a history.
            k: How many. Defaults to 10.
            filter_seen: Whether to leave out the items of the history. Defaults to False.
            time: Unix seconds of the request, for systems that read time. Defaults to None: now, or
                the latest time that a baseline was fitted to.

        Returns:
            At most k pairs (raw id, score), highest score first.
        """

    def recommend_all(
        self,
        log: EventSource | Sessions,
        output: str | os.PathLike[str],
        k: int = 10,
        *,
        filter_seen: bool = False,
        exclude: Sequence[RawId] = (),
        allow: Sequence[RawId] = (),
        time: float | None = None,
        progress: bool = False,
    ) -> int:
        """Writes the best items for every user of a log to a file, see `evaluation.recommend`.

        Where the log has no users, every session is a visitor, and the first column is `session`.

        Args:
            log: The log, or its sessions; items have the times of the log. A model with a trend
                counts the events of this log.
            output: The file: `.parquet`, `.csv`, `.jsonl` or `.ndjson`.
            k: Length of a list. Defaults to 10.
            filter_seen: Whether to leave out the items of the user's history. Defaults to False.
            exclude: Raw ids that are never listed. Defaults to none.
            allow: The only raw ids that are listed. Defaults to none: all.
            time: Unix seconds of the requests, for systems that read it. Defaults to None: after
                the last event of the log; for baselines the latest time that they learned.
            progress: Whether to show a progress bar. Defaults to False.

        Returns:
            The number of rows.
        """
        sessions = self.read(log)
        if self.has_trend:
            self.prepare(sessions)
            time = self.last_tick(sessions) if time is None else time
        return evaluation.recommend(
            self.scorer,
            sessions,
            self.vocabulary,
            output,
            k,
            spec=self.history,
            filter_seen=filter_seen,
            exclude=exclude,
            allow=allow,
            time=time,
            key="session" if self.settings.log.columns.user is None else "user",
            progress=progress,
        )

    @abc.abstractmethod
    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Writes a model directory, as `tfsessionrec train` does.

        Raises:
            FileExistsError: If the path exists and may not be replaced.
        """

    def export(self, path: str | os.PathLike[str], **options: object) -> pathlib.Path:
        """Writes a SavedModel for TensorFlow Serving.

        Args:
            path: The directory.
            **options: Further arguments of `export_saved_model`.

        Raises:
            ValueError: If the system has no graph to export.
        """
        raise ValueError(
            f"{self.settings.model} has no graph to export: `tfsessionrec recommend` and "
            f"`tfsessionrec evaluate` take its model directory. Received: `path`={os.fspath(path)}"
        )

    def read(self, log: EventSource | Sessions) -> Sessions:
        """The sessions of a log whose columns are those of training."""
        if isinstance(log, Sessions):
            return log
        check_source("log", log)
        return self.settings.log.read(log)

    def sessions_since(self, sessions: Sessions) -> Sessions:
        """The sessions that training does not leave out (`since`)."""
        return self.settings.trained_on(sessions)

    def events_learned(self, events: Sessions) -> Sessions:
        """The events that the system learns where it is evaluated in the order of time."""
        return events

    @property
    @abc.abstractmethod
    def has_trend(self) -> bool:
        """Whether candidates know the events before each request."""

    def last_tick(self, sessions: Sessions) -> int:
        """The first moment at which a system with a trend counts all events of some sessions."""
        return int(sessions.events["timestamp"].max()) + 1  # type: ignore[arg-type]

    @abc.abstractmethod
    def prepare(self, sessions: Sessions) -> None:
        """Gives a model that counts events before each request the events of some sessions."""

    def evaluate(
        self,
        log: EventSource | Sessions,
        protocol: Protocol | None = None,
        k: Sequence[int] = (20, 100),
        *,
        targets: str | None = None,
        empty_history: bool = False,
        streaming: Streaming | None = None,
        events_before: KnownEvents | None = None,
        progress: bool = False,
        apart: bool = False,
        **choices: object,
    ) -> Report:
        """Evaluates on a log.

        Args:
            log: The log, or its sessions.
            protocol: What is asked, see `tfsessionrec.data.protocol_examples`. Defaults to None:
                the objective of training.
            k: Lengths of the list; not for `"ranking"`.
            targets: The sessions asked for, as `holdout` of training names them, or `"all"`.
                Defaults to None: those that training held out.
            empty_history: Whether `"ranking"` asks for the first sessions of users too. Defaults
                to False.
            streaming: Asks in the order of time; not for `"ranking"`. Defaults to None: no.
            events_before: The events that a trend counts before each request, without `streaming`:
                `"training"` (default), those of `log` that are not held out; `"all"`, every event
                of `log`, held-out sessions of other users too; or those of another log.
            progress: Whether to show a progress bar. Defaults to False.
            apart: Whether each question has a row of its own and a number that is the same for
                every system, for `systems.evaluate_together`. Defaults to False.
            **choices: Further arguments of `tfsessionrec.evaluation.evaluate`.

        Returns:
            A `Report`. It begins with a warning if sessions that are asked for were trained on.
        """
        protocol = self.settings.training.objective if protocol is None else protocol
        text("targets", targets, optional=True, empty=False)
        if streaming is not None:
            instance("streaming", streaming, Streaming)
        if not isinstance(protocol, str) or protocol not in PROTOCOLS:
            raise ValueError(
                f"`protocol` should be one of {', '.join(PROTOCOLS)}. Received: {protocol!r}"
            )
        sessions = self.read(log)
        rule = targets or self.settings.holdout
        rule = "none" if rule == "all" else rule
        _, held_out = split_by_rule(sessions, rule)
        history = self.history
        counted = {}
        if streaming is not None:
            history = dataclasses.replace(history, request_times=True)
        elif self.has_trend:
            counted = self._count(events_before, sessions, rule)
        wanted = ("slices", "bootstrap", "keep_queries")
        batches = protocol_batches(
            protocol,
            held_out,
            self.vocabulary,
            history,
            empty_history=empty_history,
            origins=any(choices.get(name) for name in wanted),
            apart=apart,
        )
        report = self._report(
            protocol,
            batches,
            k,
            streaming,
            sessions,
            empty_history,
            {**choices, "progress": progress},
        )
        options = {**report.options, **counted}
        again, asked = trained_sessions(self.settings, self.vocabulary, sessions, held_out)
        if again:
            options[TRAINED_ON] = f"{again:,} of {asked:,} sessions asked for were trained on"
        if protocol == "next_session" or (protocol == "ranking" and not empty_history):
            options["first sessions left out"] = first_sessions(held_out)
        return dataclasses.replace(report, options=options)

    def _report(
        self,
        protocol: Protocol,
        batches: Iterable[Features],
        k: Sequence[int],
        streaming: Streaming | None,
        sessions: Sessions,
        empty_history: bool,
        choices: dict[str, object],
    ) -> Report:
        if protocol == "ranking":
            return evaluation.evaluate_ranking(
                self.scorer,
                batches,
                vocabulary=self.vocabulary,
                empty_history=empty_history,
                progress=bool(choices["progress"]),
            )
        choices = {**choices, "vocabulary": self.vocabulary}
        if streaming is not None:
            events = sessions if streaming.events is None else streaming.events
            return evaluation.evaluate_streaming(
                self.scorer,
                batches,
                self.events_learned(events),
                k,
                tick=streaming.tick,
                **choices,  # type: ignore[arg-type]
            )
        return evaluation.evaluate(self.scorer, batches, k, **choices)  # type: ignore[arg-type]

    def _count(self, chosen: KnownEvents | None, log: Sessions, targets: str) -> dict[str, str]:
        """Gives a trend the events that it counts, and returns the words of the report."""
        parts = self.settings.parts if self.settings.holdout != "none" else LogParts(targets)
        known = Known.of(chosen, log, parts)
        self.prepare(known.sessions)
        return {"trend": f"counts {known.words}"}

    def sessions_of(
        self, history: Sequence[Sequence[RawId]] | Sequence[RawId]
    ) -> list[list[RawId]]:
        """A history as sessions of raw ids of the vocabulary's type."""
        sequence("history", history, "raw ids, or of lists of them")
        if not len(history):
            return []
        if isinstance(history[0], str | bytes | int | np.integer):
            history = [history]  # type: ignore[assignment]
        dtype = self.vocabulary.dtype
        return [exact_ids(session, "history", dtype) for session in history]  # type: ignore[arg-type]
