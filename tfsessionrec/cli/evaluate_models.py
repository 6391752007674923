"""`tfsessionrec evaluate --models`: several systems, asked the same questions."""

import argparse
import functools
import pathlib

from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.train import read_trend_events


def check_models(arguments: argparse.Namespace) -> None:
    """Raises if arguments do not go with `--models`."""
    if len(set(arguments.models)) < 2 or len(set(arguments.models)) < len(arguments.models):
        raise ValueError(
            "`--models` should be two or more different names. Received: "
            f"{' '.join(arguments.models)}"
        )
    given = {
        "--report": arguments.report is not None,
        "--ensemble": arguments.ensemble is not None,
        "--slices": arguments.slices,
        "--beyond-accuracy": arguments.beyond_accuracy,
        "--protocol ranking": arguments.protocol == "ranking",
        "--unknown-targets leave_out": arguments.unknown_targets == "leave_out",
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise ValueError(f"`--models` should come without {', '.join(wrong)}. Received: both")


def sessions_asked(targets: str) -> str:
    """The rule of the sessions that are asked for, in the words of a report."""
    return "all" if targets == "none" else targets


def evaluate_models(arguments: argparse.Namespace, k: list[int]) -> None:
    """Evaluates several systems and prints one table, with paired tests."""
    from tfsessionrec.data.log_format import LogFormat
    from tfsessionrec.systems import BASELINES, Streaming, evaluate_together, load
    from tfsessionrec.systems.joint_evaluation import fit_baseline
    from tfsessionrec.systems.model_directory import ModelDirectory

    names = arguments.models
    trained = {name: load(name) for name in names if ModelDirectory(pathlib.Path(name)).is_trained}
    for name in names:
        if name not in trained and name not in BASELINES:
            raise ValueError(
                "`--models` should be model directories or baselines "
                f"({', '.join(BASELINES)}). Received: {name}"
            )
    formats = [system.settings.log for system in trained.values()]
    log = functools.reduce(LogFormat.joined, formats, LogFormat())
    log = log_arguments.log_format(arguments, log)
    sessions = log_arguments.read(log, arguments.events)
    settings = next((system.settings for system in trained.values()), None)
    targets = arguments.targets or ("none" if settings is None else settings.holdout)
    systems = {
        name: trained[name]
        if name in trained
        else fit_baseline(
            name, sessions, log, targets, 1 if settings is None else settings.min_count
        )
        for name in names
    }
    streaming = None
    if arguments.streaming:
        events = log_arguments.read_optional(log, arguments.stream_events)
        streaming = Streaming(events, arguments.tick)
    report = evaluate_together(
        systems,
        sessions,
        arguments.protocol,
        k,
        targets=targets,
        streaming=streaming,
        events_before=read_trend_events(arguments, log),
        progress=True,
        filter_seen=arguments.filter_seen,
        repeats=not arguments.no_repeats,
        bootstrap=arguments.bootstrap,
        repetition=arguments.repetition,
    )
    asked = sessions_asked(targets)
    print(report)
    print(f"sessions asked for: {asked}")
    content = {"models": names, "events": arguments.events, "sessions": asked}
    output.write_json(arguments.json, {**content, **report.to_dict()})
