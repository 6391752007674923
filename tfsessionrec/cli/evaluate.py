"""Evaluate a trained model: every item ranked, ties against it, popularity beside it.

    tfsessionrec evaluate --model model --events log.csv --protocol next_session --k 20,100

next_item        each item of a session after its first, given everything before it
rest_of_session  at the same places, the set of all items taken from there to the session's end
next_session     the set of items taken in a session, given the user's sessions before it
ranking          the order of the items shown in a session, given the sessions before it

Columns, filters and what was held out are remembered from training; arguments replace them.
"""

import argparse
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfsessionrec.cli import baselines, output
from tfsessionrec.cli.log import LogFormat, split
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.cli.train import add_trend_events, set_trend

if TYPE_CHECKING:
    from tfsessionrec.cli.model_directory import ModelDirectory
    from tfsessionrec.data import Sessions
    from tfsessionrec.evaluation import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--model", metavar="DIR", type=pathlib.Path, required=True, help="the model directory"
    )
    parser.add_argument(
        "--protocol",
        choices=("next_item", "rest_of_session", "next_session", "ranking"),
        required=True,
        help="what is asked, see above",
    )
    parser.add_argument(
        "--targets",
        metavar="RULE",
        help="the sessions asked for: all, last-session, after=TIME, last-days=N "
        "(default: what training held out, or all)",
    )
    parser.add_argument(
        "--k",
        metavar="N,N,...",
        default="20,100",
        help="lengths of the list (default %(default)s; not for ranking)",
    )
    parser.add_argument(
        "--filter-seen",
        action="store_true",
        help="leave out items of the history, so that a repeat is a miss (default: keep them)",
    )
    parser.add_argument(
        "--empty-history",
        action="store_true",
        help="ranking: ask for the first session of a user too (default: leave it out)",
    )
    parser.add_argument(
        "--no-repeats",
        action="store_true",
        help="do not ask for items of the history (default: ask for them too)",
    )
    parser.add_argument(
        "--unknown-targets",
        choices=("leave_out", "miss"),
        default="leave_out",
        help="targets that training never saw: left out, or misses (default %(default)s)",
    )
    asked = parser.add_argument_group("more to report (not for ranking, but for --report)")
    asked.add_argument(
        "--slices",
        action="store_true",
        help="metrics by length of the running session, earlier sessions and popularity of the "
        "target",
    )
    asked.add_argument(
        "--bootstrap",
        metavar="N",
        type=int,
        default=0,
        help="95 %% intervals from N resamples of the users (default: none)",
    )
    asked.add_argument(
        "--beyond-accuracy",
        action="store_true",
        help="coverage, novelty, popularity, diversity and serendipity of the lists",
    )
    asked.add_argument(
        "--report",
        metavar="DIR",
        type=pathlib.Path,
        help="also write report.json, report.md and the plots report.png there",
    )
    fused = parser.add_argument_group("as a part of an ensemble (not for ranking)")
    fused.add_argument(
        "--ensemble",
        metavar="DIR",
        type=pathlib.Path,
        help="another model directory of the same items: both as one system",
    )
    fused.add_argument(
        "--fusion",
        choices=("rrf", "score"),
        default="rrf",
        help="of ranks (default) or of scores",
    )
    fused.add_argument(
        "--weight", metavar="X", type=float, default=1.0, help="of the other; --model has 1"
    )
    live = parser.add_argument_group("as a live system (not for ranking)")
    live.add_argument(
        "--streaming",
        action="store_true",
        help="ask in order of time, after telling the model of every event before each request: "
        "baselines are fitted anew to what came before the first one and learn on, a trend counts",
    )
    live.add_argument(
        "--stream-events",
        metavar="FILE",
        type=pathlib.Path,
        help="the log of everything that happened (default: that of --events)",
    )
    live.add_argument(
        "--tick",
        metavar="SECONDS",
        type=float,
        help="tell it no more often than this (default: before each request)",
    )
    add_trend_events(parser)
    LogFormat.add_arguments(parser)
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Evaluates and prints the report."""
    try:
        k = [int(number) for number in arguments.k.split(",")]
    except ValueError:
        raise ValueError(
            f"`--k` should be numbers like 20,100. Received: {arguments.k!r}"
        ) from None
    asked: dict[str, Any] = {
        "slices": arguments.slices,
        "bootstrap": arguments.bootstrap,
        "beyond_accuracy": arguments.beyond_accuracy,
    }
    if arguments.protocol == "ranking" and any(asked.values()):
        raise ValueError(
            "`--slices`, `--bootstrap` and `--beyond-accuracy` are of lists from the whole "
            "catalogue. Received: --protocol ranking"
        )
    if not arguments.streaming and (arguments.stream_events, arguments.tick) != (None, None):
        raise ValueError("`--stream-events` and `--tick` need `--streaming`. Received: none")
    if arguments.protocol == "ranking" and (arguments.streaming or arguments.ensemble):
        raise ValueError(
            "`--streaming` and `--ensemble` are of the whole catalogue. Received: --protocol "
            "ranking"
        )
    asked |= {
        "repeats": not arguments.no_repeats,
        "unknown_targets": arguments.unknown_targets,
        "keep_queries": arguments.report is not None,
    }
    import_tensorflow()
    from tfsessionrec.cli.ensemble import ensemble
    from tfsessionrec.cli.model_directory import ModelDirectory

    if arguments.report is not None:
        from tfsessionrec.evaluation.plot_report import import_matplotlib

        import_matplotlib()  # better now than after the evaluation
    directory = ModelDirectory(arguments.model)
    settings = directory.settings()
    targets = arguments.targets or settings.holdout
    sessions = LogFormat.from_arguments(arguments, settings.log).read(arguments.events)
    _, held_out = split(sessions, "none" if targets == "all" else targets)
    if arguments.ensemble is None:
        model = directory.load_model()
    else:
        model, asked["training"] = ensemble(
            directory, ModelDirectory(arguments.ensemble), arguments.fusion, arguments.weight
        )
    if arguments.streaming:
        told = sessions
        if arguments.stream_events is not None:
            told = LogFormat.from_arguments(arguments, settings.log).read(arguments.stream_events)
        asked |= {"stream": baselines.learned(settings, told), "tick": arguments.tick}
    else:
        for one in getattr(model, "systems", [model]):
            if getattr(one, "trend", None) is not None:
                set_trend(one, directory, sessions, arguments.trend_events)
    report = evaluate(
        directory,
        held_out,
        arguments.protocol,
        k,
        arguments.filter_seen,
        arguments.empty_history,
        model,
        **asked,
    )
    print(report)
    print(f"sessions asked for: {'all' if targets == 'none' else targets}")
    output.write_json(
        arguments.json,
        {
            "model": settings.model,
            "directory": directory.path,
            "ensemble": arguments.ensemble,
            "events": arguments.events,
            "protocol": arguments.protocol,
            "sessions": "all" if targets == "none" else targets,
            "seed": settings.seed,
            **report.to_dict(),
        },
    )
    if arguments.report is not None:
        protocol = arguments.protocol.replace("_", " ")
        report.save(arguments.report, f"{settings.model} on {arguments.events.name}: {protocol}")
        output.say(f"report written to {arguments.report}")


def evaluate(
    directory: "ModelDirectory",
    sessions: "Sessions",
    protocol: str,
    k: Sequence[int],
    filter_seen: bool = False,
    empty_history: bool = False,
    model: Any = None,
    stream: "Sessions | None" = None,
    tick: float | None = None,
    training: Mapping[str, Any] | None = None,
    **asked: Any,
) -> "Report":
    """Evaluates the model of a directory on the target sessions.

    Args:
        directory: The directory.
        sessions: The sessions; those with `is_target` are asked for.
        protocol: What is asked, see `tfsessionrec.cli.protocols`.
        k: Lengths of the list.
        filter_seen: Whether items of the history are left out.
        empty_history: Whether `ranking` asks for the first sessions of users too.
        model: The model of the directory, if it is loaded already.
        stream: Everything that happened, for streaming evaluation; not for `ranking`.
        tick: Seconds between two tellings of it.
        training: The recipe that the batches follow; that of the directory by default.
        asked: What else `tfsessionrec.evaluation.evaluate` should report; not for `ranking`.
    """
    from tfsessionrec import evaluation
    from tfsessionrec.cli.protocols import queries

    vocabulary = directory.vocabulary()
    training = directory.settings().training if training is None else training
    if stream is not None:
        training = {**training, "request_times": True}
    origins = any(asked.get(name) for name in ("slices", "bootstrap", "keep_queries"))
    batches = queries(protocol, sessions, vocabulary, training, empty_history, origins)
    model = directory.load_model() if model is None else model
    if protocol == "ranking":
        return evaluation.evaluate_ranking(
            model, batches, vocabulary=vocabulary, empty_history=empty_history, progress=True
        )
    asked |= {"filter_seen": filter_seen, "vocabulary": vocabulary, "progress": True}
    if stream is not None:
        return evaluation.evaluate_streaming(model, batches, stream, k, tick=tick, **asked)
    return evaluation.evaluate(model, batches, k, **asked)
