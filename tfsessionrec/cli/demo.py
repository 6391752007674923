"""Run every step in about two minutes: simulate a log, train, evaluate, export, recommend.

The log is simulated, so the best reachable score is known. --output contains all results: log.csv,
model/ (as `tfsessionrec train` writes it) and export/1/ (for TensorFlow Serving).
"""

import argparse
import pathlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfsessionrec.cli import log_arguments, output
from tfsessionrec.cli.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from tfsessionrec.data import Sessions, Vocabulary
    from tfsessionrec.data.simulation import Simulation
    from tfsessionrec.export import Recommender

MODEL = "sessionrec-sasrec"
K = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=pathlib.Path,
        default=pathlib.Path("demo"),
        help="folder of all results; replaces an earlier demo (default %(default)s)",
    )
    parser.add_argument(
        "--users", metavar="N", type=int, default=3000, help="number of users (default %(default)s)"
    )
    parser.add_argument(
        "--items", metavar="N", type=int, default=800, help="number of items (default %(default)s)"
    )
    parser.add_argument(
        "--epochs", metavar="N", type=int, help="training epochs (default: those of the model)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="random seed (default %(default)s)"
    )
    output.add_json_argument(parser)


def run(arguments: argparse.Namespace) -> None:
    """Runs all steps and prints the results."""
    started = time.perf_counter()
    output.say("Loading TensorFlow")
    import_tensorflow()
    from tfsessionrec import data
    from tfsessionrec.data.log_format import LogColumns, LogFormat
    from tfsessionrec.export import load_saved_model
    from tfsessionrec.systems import train
    from tfsessionrec.systems.model_directory import ModelDirectory

    folder: pathlib.Path = arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    output.say(f"Simulating {folder / 'log.csv'}")
    simulation = data.simulate(arguments.users, arguments.items, seed=arguments.seed)
    simulation.events.write_csv(folder / "log.csv")

    log = LogFormat(LogColumns(user="user_id", session="session_id", label="label"))
    options = {"holdout": "last-session", "seed": arguments.seed}
    if arguments.epochs is not None:
        options["epochs"] = arguments.epochs
    settings = train.with_options(train.default_settings(MODEL), log, options)
    sessions = log_arguments.read(log, folder / "log.csv")
    directory = ModelDirectory(folder / "model")
    system = train.train(settings, sessions, directory, overwrite=True, progress=True)

    output.say("Evaluating on the last session of each user, which is not in the training data")
    report = system.evaluate(sessions, k=[K], progress=True)
    _, held_out = data.split_by_rule(sessions, settings.holdout)
    systems = {
        "popularity": report.baselines["popularity"],
        MODEL: report.metrics,
        "best reachable": best_reachable(simulation, held_out, system.vocabulary),
    }
    best = systems["best reachable"][f"ndcg@{K}"]
    path = system.export(folder / "export" / "1", k=K, overwrite=True)
    recommendation = recommend(load_saved_model(path), held_out)
    print()
    _print_metrics(systems, best)
    print(
        f"\n{report.num_queries:,} held-out sessions; all {report.num_candidates:,.0f} items are "
        f"ranked, including seen ones.\nBest reachable: a ranking by the simulator's true click "
        f"probabilities, which no history determines completely.\n"
    )
    _print_recommendation(path, recommendation)
    seconds = time.perf_counter() - started
    print(f"\n{seconds:.0f} seconds. All results are in {folder}/")
    output.write_json(
        arguments.json,
        {
            "seed": arguments.seed,
            "seconds": seconds,
            "systems": systems,
            "share_of_best": report.metrics[f"ndcg@{K}"] / best,
            "recommendation": recommendation,
        },
    )


def _print_metrics(systems: Mapping[str, Mapping[str, float]], best: float) -> None:
    rows = [
        {
            "": name,
            f"NDCG@{K}": metrics[f"ndcg@{K}"],
            f"Recall@{K}": metrics[f"recall@{K}"],
            "share of best NDCG": f"{metrics[f'ndcg@{K}'] / best:.0%}",
        }
        for name, metrics in systems.items()
    ]
    print(output.table(rows))


def _print_recommendation(path: pathlib.Path, recommendation: Mapping[str, Any]) -> None:
    print(f"Recommendations of {path} for {recommendation['user']}. Clicked, by session:")
    for items in recommendation["history"]:
        print(f"  {' '.join(items)}")
    print("Recommended:")
    for item, score in recommendation["recommended"]:
        hit = "  clicked in the held-out session" if item in recommendation["taken"] else ""
        print(f"  {item}  {score:.3f}{hit}")


def best_reachable(
    simulation: "Simulation", held_out: "Sessions", vocabulary: "Vocabulary"
) -> dict[str, float]:
    """Metrics of a ranking by the true probabilities, on the queries of the evaluation.

    Args:
        simulation: The simulation, which knows the true probabilities.
        held_out: Sessions; the last session of each user is the target.
        vocabulary: The candidates.

    Returns:
        `ndcg@20` and `recall@20`.
    """
    import numpy as np

    from tfsessionrec import evaluation, metrics
    from tfsessionrec.data import protocol_batches
    from tfsessionrec.history_spec import HistorySpec

    first = vocabulary.first_item_index
    users = held_out.events["user_id"].unique(maintain_order=True).to_numpy()
    history = HistorySpec(max_sessions=1, max_items=1, first_item_index=first)
    identity = np.eye(vocabulary.num_items, dtype=np.float32)
    ranks, row = [], 0
    for batch in protocol_batches("next_session", held_out, vocabulary, history):
        targets = batch["target_ids"].numpy().astype(np.int64)
        probabilities = simulation.true_probabilities(users[row : row + len(targets)], vocabulary)
        row += len(targets)
        # No system can rank items that are not in the training data.
        known = np.where(targets >= first, targets - first, -1)
        asked = (known >= 0).any(axis=1)
        ranks.append(evaluation.rank_targets(probabilities[asked, first:], identity, known[asked]))
    return {
        f"{metric.__name__}@{K}": float(np.concatenate([metric(part, K) for part in ranks]).mean())
        for metric in (metrics.ndcg, metrics.recall)
    }


def recommend(recommender: "Recommender", held_out: "Sessions") -> dict[str, Any]:
    """Recommends for the first user with clicks in two sessions and in the held-out one.

    Returns:
        The user, the history, the recommendations, and the clicks of the held-out session.
    """
    import polars as pl

    clicked = held_out.events.filter(pl.col("label") == 1)
    index = pl.col("session_index")
    user = (
        clicked.group_by("user_id", maintain_order=True)
        .agg(
            past=index.filter(~pl.col("is_target")).n_unique(),
            target=pl.col("is_target").any(),
        )
        .filter(pl.col("target") & (pl.col("past") >= 2))["user_id"][0]
    )
    mine = clicked.filter(pl.col("user_id") == user)
    past = mine.filter(~pl.col("is_target"))
    return {
        "user": user,
        "history": past.group_by("session_index", maintain_order=True)
        .agg("item_id")["item_id"]
        .to_list(),
        "recommended": recommender.recommend(
            past["item_id"].to_list(), past["session_index"].to_list(), k=10
        ),
        "taken": mine.filter("is_target")["item_id"].to_list(),
    }
