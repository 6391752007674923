"""Several systems, asked the same questions."""

import dataclasses
from collections.abc import Mapping, Sequence

from tfsessionrec.data import Sessions
from tfsessionrec.data.examples.objectives import Protocol
from tfsessionrec.data.log_format import LogFormat
from tfsessionrec.evaluation import JointReport
from tfsessionrec.systems.known_events import KnownEvents
from tfsessionrec.systems.train import default_settings, train
from tfsessionrec.systems.trained_system import Streaming, TrainedSystem


def evaluate_together(
    systems: Mapping[str, TrainedSystem],
    sessions: Sessions,
    protocol: Protocol | None = None,
    k: Sequence[int] = (20, 100),
    *,
    targets: str | None = None,
    streaming: Streaming | None = None,
    events_before: KnownEvents | None = None,
    samples: int = 1000,
    seed: int = 0,
    progress: bool = False,
    **choices: object,
) -> JointReport:
    """Asks several systems the same questions, and tests their differences query by query.

    The questions follow from the log and the protocol alone, whatever part of a history a system
    reads and whatever its vocabulary holds: a target that a system does not know is a miss for it,
    and with `repeats=False` what the history holds is left out, known or not.

    Args:
        systems: Two or more, by name.
        sessions: The log.
        protocol: As in `TrainedSystem.evaluate`, but not `"ranking"`. Defaults to None: the
            objective of the first system.
        k: Lengths of the list.
        targets: The sessions asked for. Defaults to None: those that the first system held out.
        streaming: Asks in the order of time. Defaults to None: no.
        events_before: The events that a trend counts, as in `TrainedSystem.evaluate`.
        samples: Resamples of the paired tests, see `evaluation.compare`. Defaults to 1000.
        seed: Seed of the tests. Defaults to 0.
        progress: Whether to show progress bars. Defaults to False.
        **choices: Further arguments of `tfsessionrec.evaluation.evaluate`, but not
            `unknown_targets`.

    Returns:
        A `JointReport`.

    Raises:
        ValueError: If there are fewer than two systems, or an argument is out of its range.
    """
    if len(systems) < 2:
        raise ValueError(f"`systems` should be two or more. Received: {', '.join(systems)}")
    if protocol == "ranking" or "unknown_targets" in choices:
        raise ValueError(
            "Several systems are asked for items of the whole catalogue, and targets that one does "
            'not know are misses. Received: protocol="ranking" or `unknown_targets`'
        )
    settings = next(iter(systems.values())).settings
    reports = {
        name: system.evaluate(
            sessions,
            protocol or settings.training.objective,
            k,
            targets=targets or settings.holdout,
            streaming=streaming,
            events_before=events_before,
            progress=progress,
            apart=True,
            keep_queries=True,
            unknown_targets="miss",
            **choices,  # type: ignore[arg-type]
        )
        for name, system in systems.items()
    }
    return JointReport.of(reports, samples, seed)


def fit_baseline(
    name: str, sessions: Sessions, log: LogFormat, holdout: str, min_count: int = 1
) -> TrainedSystem:
    """A baseline that learned the sessions of a log that are not held out.

    Args:
        name: Its name, one of `systems.BASELINES`.
        sessions: The log.
        log: How it was read.
        holdout: What is held out, see `tfsessionrec.data.split_by_rule`; `"all"` is `"none"`.
        min_count: Least events of an item. Defaults to 1.
    """
    settings = dataclasses.replace(
        default_settings(name),
        log=log,
        holdout="none" if holdout == "all" else holdout,
        min_count=min_count,
    )
    return train(settings, sessions)
