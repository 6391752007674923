"""Compares the version called canary with the one called stable, by requests to both."""

import argparse
import dataclasses
import itertools
import json
import logging
import time
from collections.abc import Sequence

import numpy as np
from models_config import RolloutError

from tfsessionrec.client import Client, History, ServingError

LOG = logging.getLogger("rollout")
STABLE, CANARY = "stable", "canary"
MOST_IDS = 1000  # of the vocabulary, for histories


@dataclasses.dataclass
class Probe:
    """The results of requests to one label.

    Attributes:
        errors: Number of failures.
        error: The last failure.
        seconds: Duration of each answer.
        items: The recommended ids of each answer.
    """

    errors: int = 0
    error: str = ""
    seconds: list[float] = dataclasses.field(default_factory=list)
    items: list[list[str | int]] = dataclasses.field(default_factory=list)

    @property
    def requests(self) -> int:
        """Number of requests sent."""
        return self.errors + len(self.seconds)

    @property
    def p99(self) -> float:
        """Seconds; infinite if no request was answered."""
        return float(np.quantile(self.seconds, 0.99)) if self.seconds else float("inf")

    def send(self, client: Client, history: History, k: int) -> None:
        """Sends one request and records its result."""
        begin = time.perf_counter()
        try:
            (answer,) = client.recommend([history], k=k)
        except (ServingError, ValueError) as error:
            self._fail(str(error))
            return
        seconds = time.perf_counter() - begin
        if not np.isfinite([one.score for one in answer]).all():
            self._fail(f"a score is not a number: {answer}")
            return
        self.seconds.append(seconds)
        self.items.append([one.item_id for one in answer])

    def _fail(self, error: str) -> None:
        self.errors += 1
        self.error = error


def check(arguments: argparse.Namespace, compare: bool) -> None:
    """Sends requests to canary, and the same ones to stable, and compares the answers.

    Args:
        arguments: The arguments of the command.
        compare: Whether there is a stable version to compare with.

    Raises:
        RolloutError: If canary fails a limit.
    """
    histories = _histories(arguments)
    labels = (CANARY, STABLE) if compare else (CANARY,)
    # Both warm up first; then requests alternate, so that a slow machine slows both.
    _probe(arguments, histories[: max(len(histories) // 10, 1)], labels)
    probes = _probe(arguments, histories, labels)
    for label, probe in probes.items():
        LOG.info(
            "%s: %d requests, %d failed, p99 %.1f ms",
            label,
            probe.requests,
            probe.errors,
            1000 * probe.p99,
        )
    _check_alone(arguments, probes[CANARY])
    if compare and not probes[STABLE].errors:
        _check_against(arguments, probes[CANARY], probes[STABLE])


def client_of(arguments: argparse.Namespace, label: str) -> Client:
    """A client of the version with a label."""
    return Client(
        arguments.url,
        arguments.model_name,
        label=label,
        timeout=arguments.timeout,
        history_length=arguments.history_length,
    )


def _check_alone(arguments: argparse.Namespace, canary: Probe) -> None:
    if canary.errors > arguments.max_error_rate * canary.requests:
        raise RolloutError(
            f"{canary.errors} of {canary.requests} requests failed; the last: {canary.error}"
        )
    if 1000 * canary.p99 > arguments.max_p99_ms:
        raise RolloutError(
            f"p99 is {1000 * canary.p99:.1f} ms, more than the {arguments.max_p99_ms:g} of "
            "--max-p99-ms"
        )
    if not any(canary.items):
        raise RolloutError("no request was answered with an item")


def _check_against(arguments: argparse.Namespace, canary: Probe, stable: Probe) -> None:
    allowed = arguments.max_p99_ratio * stable.p99 + 0.001
    if canary.p99 > allowed:
        raise RolloutError(
            f"p99 is {1000 * canary.p99:.1f} ms, more than {1000 * allowed:.1f} ms, "
            f"{arguments.max_p99_ratio:g} times that of {STABLE}"
        )
    if canary.errors:
        return
    same = np.mean(
        [
            len(set(a) & set(b)) / max(len(b), 1)
            for a, b in zip(canary.items, stable.items, strict=True)
        ]
    )
    LOG.info("%.0f %% of the items are those of %s", 100 * same, STABLE)
    if same < arguments.min_overlap:
        raise RolloutError(
            f"{100 * same:.0f} % of the items are those of {STABLE}, less than --min-overlap allows"
        )


def _probe(
    arguments: argparse.Namespace, histories: Sequence[History], labels: Sequence[str]
) -> dict[str, Probe]:
    """Sends each history to every label in turn."""
    probes = {label: Probe() for label in labels}
    clients = {label: client_of(arguments, label) for label in labels}
    for history, label in itertools.product(histories, labels):
        probes[label].send(clients[label], history, arguments.k)
    for client in clients.values():
        client.close()
    return probes


def _histories(arguments: argparse.Namespace) -> list[History]:
    """The histories of --probes; without it, random ones from the export's vocabulary."""
    count = arguments.requests
    if arguments.probes is not None:
        found = [
            History(one["item_ids"], one.get("session_index"), one.get("inputs", {}))
            for one in map(json.loads, arguments.probes.read_text().splitlines())
        ]
        return list(itertools.islice(itertools.cycle(found), count))
    ids: list[str] = []
    if arguments.exports is not None:
        file = arguments.exports / str(arguments.version) / "assets" / "vocabulary.txt"
        if file.is_file():
            with file.open(encoding="utf-8", newline="\n") as lines:
                ids = [line.rstrip("\n") for line in itertools.islice(lines, MOST_IDS)]
    with Client(arguments.url, arguments.model_name, timeout=arguments.timeout) as client:
        inputs = set(client.signatures()["recommend"].inputs)
    needed = sorted(inputs - {"item_ids", "session_index", "k", "labels"})
    if needed:
        raise RolloutError(f"the model reads {needed} of each item: name a file of --probes")
    generator = np.random.default_rng(0)
    histories = [History([])]
    for _ in range(count - 1):
        length = int(generator.integers(1, 20)) if ids else 0
        picked = generator.integers(0, max(len(ids), 1), length)
        sessions = sorted(generator.integers(0, 4, length).tolist())
        histories.append(History([ids[n] for n in picked], sessions))
    return histories
