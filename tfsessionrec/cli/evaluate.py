"""Evaluate a trained model: every item is ranked, ties count against it.

    tfsessionrec evaluate --model model --events log.csv --protocol next_session --k 20,100
    tfsessionrec evaluate --models model other vsknn --events log.csv --no-repeats
    tfsessionrec evaluate --models model popularity --events baskets.csv --repetition

next_item        each positive item of a session after its first, given everything before it
rest_of_session  at the same positions, the set of positive items up to the session's end
next_session     the set of positive items of a session, given the user's sessions before it
ranking          the order of the items shown in a session, given the sessions before it

Columns, filters and the holdout rule default to those of training.
"""

import argparse
import pathlib
from typing import TYPE_CHECKING

from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.evaluate_models import check_models, evaluate_models, sessions_asked
from tfsessionrec.cli.tensorflow_import import import_tensorflow
from tfsessionrec.cli.train import add_trend_events, read_trend_events

if TYPE_CHECKING:
    from tfsessionrec.systems import TrainedSystem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--model", metavar="DIR", type=pathlib.Path, help="the model directory")
    asked.add_argument(
        "--models",
        metavar="NAME",
        nargs="+",
        help="several model directories, or names of baselines, which learn the rest of the log: "
        "all are asked the same questions, an item that a model does not know is a miss for it, "
        "and each is tested against the first, query by query",
    )
    parser.add_argument(
        "--protocol",
        choices=("next_item", "rest_of_session", "next_session", "ranking"),
        help="what is asked, see above (default: the objective of training)",
    )
    parser.add_argument(
        "--targets",
        metavar="RULE",
        help="what is asked for: all, or as --holdout of training: last-session, after=TIME, "
        "last-days=N (default: what training held out, or all)",
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
        help="targets that training never saw: left out, or misses (default leave_out; with "
        "--models always misses)",
    )
    _add_report_arguments(parser)
    _add_system_arguments(parser)
    add_trend_events(parser)
    log_arguments.add_arguments(parser)
    output.add_json_argument(parser)


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
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
        "--repetition",
        action="store_true",
        help="metrics of the targets that the history holds (recall_rep, ...) and of new ones "
        "(recall_expl, ...), and the share of the lists that the history holds",
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


def _add_system_arguments(parser: argparse.ArgumentParser) -> None:
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
        help="how both are joined: rrf, rank fusion (default), or score",
    )
    fused.add_argument(
        "--weight", metavar="X", type=float, default=1.0, help="weight of the other; --model has 1"
    )
    live = parser.add_argument_group("as a live system (not for ranking)")
    live.add_argument(
        "--streaming",
        action="store_true",
        help="ask in order of time, and update the model with every event before each request: "
        "baselines are fitted to the events before the first one, then updated; a trend counts",
    )
    live.add_argument(
        "--stream-events",
        metavar="FILE",
        type=pathlib.Path,
        help="the log of all events (default: that of --events)",
    )
    live.add_argument(
        "--tick",
        metavar="SECONDS",
        type=float,
        help="least seconds between two updates (default: update before each request)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Evaluates and prints the report."""
    k = _check(arguments)
    import_tensorflow()
    if arguments.models is not None:
        evaluate_models(arguments, k)
    else:
        _evaluate_one(arguments, k)


def _evaluate_one(arguments: argparse.Namespace, k: list[int]) -> None:
    from tfsessionrec.systems import Streaming, load

    if arguments.report is not None:
        from tfsessionrec.evaluation.plot_report import import_matplotlib

        import_matplotlib()  # better now than after the evaluation
    system = load(arguments.model)
    settings = system.settings
    protocol = arguments.protocol or settings.training.objective
    log = log_arguments.log_format(arguments, settings.log)
    sessions = log_arguments.read(log, arguments.events)
    events_before = read_trend_events(arguments, settings.log)
    streaming = None
    if arguments.streaming:
        events = log_arguments.read_optional(log, arguments.stream_events)
        streaming = Streaming(events, arguments.tick)
    if arguments.ensemble is not None:
        system = _ensemble(system, arguments)
    report = system.evaluate(
        sessions,
        protocol,
        k,
        targets=arguments.targets,
        empty_history=arguments.empty_history,
        streaming=streaming,
        events_before=events_before,
        progress=True,
        filter_seen=arguments.filter_seen,
        repeats=not arguments.no_repeats,
        unknown_targets=arguments.unknown_targets or "leave_out",
        slices=arguments.slices,
        bootstrap=arguments.bootstrap,
        repetition=arguments.repetition,
        beyond_accuracy=arguments.beyond_accuracy,
        keep_queries=arguments.report is not None,
    )
    asked = sessions_asked(arguments.targets or settings.holdout)
    print(report)
    print(f"sessions asked for: {asked}")
    output.write_json(
        arguments.json,
        {
            "model": settings.model,
            "directory": arguments.model,
            "ensemble": arguments.ensemble,
            "events": arguments.events,
            "protocol": protocol,
            "sessions": asked,
            "seed": settings.seed,
            **report.to_dict(),
        },
    )
    if arguments.report is not None:
        title = f"{settings.model} on {log_arguments.title(arguments.events)}"
        report.save(arguments.report, f"{title}: {protocol.replace('_', ' ')}")
        output.say(f"report written to {arguments.report}")


def _check(arguments: argparse.Namespace) -> list[int]:
    """The lengths of the list; raises if arguments contradict each other."""
    try:
        k = [int(number) for number in arguments.k.split(",")]
    except ValueError:
        raise ValueError(
            f"`--k` should be numbers like 20,100. Received: {arguments.k!r}"
        ) from None
    if arguments.models is not None:
        check_models(arguments)
    ranking = arguments.protocol == "ranking"
    of_lists = ("slices", "bootstrap", "repetition", "beyond_accuracy")
    if ranking and any(getattr(arguments, name) for name in of_lists):
        raise ValueError(
            "`--slices`, `--bootstrap`, `--repetition` and `--beyond-accuracy` are of lists from "
            "the whole catalogue. Received: --protocol ranking"
        )
    if not arguments.streaming and (arguments.stream_events, arguments.tick) != (None, None):
        raise ValueError("`--stream-events` and `--tick` need `--streaming`. Received: none")
    if ranking and (arguments.streaming or arguments.ensemble):
        raise ValueError(
            "`--streaming` and `--ensemble` are of the whole catalogue. Received: --protocol "
            "ranking"
        )
    return k


def _ensemble(system: "TrainedSystem", arguments: argparse.Namespace) -> "TrainedSystem":
    from tfsessionrec.systems import load
    from tfsessionrec.systems.ensemble import EnsembleSystem

    return EnsembleSystem(system, load(arguments.ensemble), arguments.fusion, arguments.weight)
