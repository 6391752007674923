#!/usr/bin/env python3
r"""Roll a new version out on a running server, or back.

    python serving/rollout.py --config serving/models.config --exports exported/sessionrec \
        --url http://localhost:8501 --model-name sessionrec --version 2

1. The new version is loaded beside the one that is called stable.
2. It is called canary, and asked: the same requests as stable, one after the other. It must answer
   nearly all of them, with a p99 that is not much worse than stable's.
3. It is called stable. The version before stays loaded, for --roll-back.

If anything goes wrong, canary and the versions are put back as they were and the exit status is 1.
Run again, it goes on where it stands; with nothing left to do it does nothing. Every change is one
atomic replacement of models.config. The server reads that file every
--model_config_file_poll_wait_seconds; with --grpc it is told at once.

Needs tensorflow-serving-api (pip install 'tfsessionrec[serving]').
"""

import argparse
import copy
import dataclasses
import itertools
import json
import logging
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsessionrec.client import Client, History, ServingError

LOG = logging.getLogger("rollout")
STABLE, CANARY = "stable", "canary"


class RolloutError(RuntimeError):
    """Why a roll-out stopped."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a number of requests to one label gave.

    Attributes:
        requests: How many were sent.
        errors: How many failed.
        seconds: Of each that did not, how long it took.
        items: Of each that did not, the ids that were recommended.
        error: The last failure.
    """

    requests: int
    errors: int
    seconds: Sequence[float]
    items: Sequence[Sequence[Any]]
    error: str = ""

    @property
    def p99(self) -> float:
        """Seconds; infinite if no request was answered."""
        return float(np.quantile(self.seconds, 0.99)) if self.seconds else float("inf")


class ModelsConfig:
    """models.config of a server: which versions of a model are loaded, and what they are called.

    Args:
        path: The file.
        model_name: The model.

    Raises:
        RolloutError: If the file has no such model.
    """

    def __init__(self, path: pathlib.Path, model_name: str) -> None:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        self.path, self.model_name = path, model_name
        self.proto = model_server_config_pb2.ModelServerConfig()
        try:
            text_format.Parse(path.read_text(), self.proto)
        except text_format.ParseError as error:
            raise RolloutError(f"{path} is no models.config: {error}") from error
        if self._model() is None:
            names = [one.name for one in self.proto.model_config_list.config]
            raise RolloutError(f"{path} has no model {model_name!r}; it has {names}")

    @property
    def versions(self) -> list[int]:
        """Versions that the policy names; empty where it names none (`latest`, `all`)."""
        return sorted(self._model().model_version_policy.specific.versions)

    @property
    def labels(self) -> dict[str, int]:
        """Versions by label."""
        return dict(self._model().version_labels)

    def with_(self, versions: Sequence[int], labels: dict[str, int]) -> "ModelsConfig":
        """A copy with other versions and labels; everything else stays."""
        changed = copy.copy(self)
        changed.proto = type(self.proto)()
        changed.proto.CopyFrom(self.proto)
        model = changed._model()
        model.model_version_policy.Clear()
        model.model_version_policy.specific.versions.extend(sorted(set(versions)))
        model.version_labels.clear()
        for label, version in sorted(labels.items()):
            model.version_labels[label] = version
        return changed

    def write(self) -> None:
        """Replaces the file in one step; the one before stays beside it as `.previous`."""
        from google.protobuf import text_format

        before = self.path.read_bytes()
        for path, content in (
            (self.path.with_name(self.path.name + ".previous"), before),
            (self.path, text_format.MessageToString(self.proto).encode()),
        ):
            scratch = path.with_name(f".{path.name}.{os.getpid()}")
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)

    def _model(self) -> Any:
        found = self.proto.model_config_list.config
        return next((one for one in found if one.name == self.model_name), None)


class Rollout:
    """The steps, each of which leaves the server answering as `stable`.

    Args:
        arguments: Of the command.
        sleep: Waits so many seconds.
    """

    def __init__(
        self, arguments: argparse.Namespace, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.arguments = arguments
        self.sleep = sleep
        self.config = ModelsConfig(arguments.config, arguments.model_name)
        self.client = Client(arguments.url, arguments.model_name, timeout=arguments.timeout)

    def roll_out(self, version: int) -> None:
        """Loads a version, tries it, and calls it stable."""
        self._is_there(version)
        before, labels = self.config, self.config.labels
        stable = labels.get(STABLE)
        if stable == version:
            # The server may not have read it yet, if a run before ended here.
            self._wait_until_labelled(STABLE, version)
            LOG.info("version %d is stable already: nothing to do", version)
            return
        kept = [version] if stable is None else [stable, version]
        promoted = {**labels, STABLE: version, CANARY: version}
        try:
            failed_before = self._load_error(version)
            # The server refuses to give a label that exists to a version that is not loaded yet:
            # first the version, then the label.
            self._change(before.with_([*kept, *labels.values()], labels), f"load version {version}")
            self._wait_until_loaded(version, failed_before)
            self._change(
                before.with_(kept, {**labels, CANARY: version}), f"call version {version} {CANARY}"
            )
            self._wait_until_labelled(CANARY, version)
            self._check(compare=stable is not None)
            self._change(before.with_(kept, promoted), f"call version {version} {STABLE}")
            self._wait_until_labelled(STABLE, version)
        except (RolloutError, OSError, ValueError, KeyboardInterrupt) as error:
            LOG.error("version %d is not rolled out: %s", version, error or "interrupted")
            self._put_back(before)
            raise
        if stable is not None:
            LOG.info("version %d stays loaded, for --roll-back", stable)
        LOG.info("version %d is stable", version)

    def roll_back(self) -> None:
        """Calls the version before the stable one stable, if it is still loaded."""
        labels = self.config.labels
        older = [one for one in self.config.versions if one != labels.get(STABLE)]
        if STABLE not in labels or not older:
            raise RolloutError(
                f"there is no other version to go back to: {self.config.path} names the versions "
                f"{self.config.versions} and the labels {labels}"
            )
        version = older[-1]
        LOG.info("back from version %d to %d", labels[STABLE], version)
        self._wait_until_loaded(version)
        labels = {**labels, STABLE: version, CANARY: version}
        self._change(
            self.config.with_(self.config.versions, labels), f"call version {version} {STABLE}"
        )
        self._wait_until_labelled(STABLE, version)
        LOG.info("version %d is stable", version)

    def retire(self) -> None:
        """Unloads every version without a label."""
        labels = self.config.labels
        wanted = sorted(set(labels.values()))
        if not wanted:
            raise RolloutError(f"no version of {self.config.path} has a label")
        if wanted == self.config.versions:
            LOG.info("only versions with a label are loaded: nothing to do")
            return
        self._change(self.config.with_(wanted, labels), f"keep the versions {wanted} only")

    def _is_there(self, version: int) -> None:
        """Whether the export is complete on the disk, as far as this machine sees it."""
        if self.arguments.exports is None:
            return
        path = self.arguments.exports / str(version)
        if not (path / "saved_model.pb").is_file():
            there = sorted(p.name for p in self.arguments.exports.glob("[0-9]*"))
            raise RolloutError(f"there is no export at {path}; there are the versions {there}")

    def _change(self, changed: ModelsConfig, what: str) -> None:
        if changed.proto == self.config.proto:
            LOG.info("%s: done before", what)
            return
        would = "would write " if self.arguments.dry_run else ""
        LOG.info("%s: %sversions %s, labels %s", what, would, changed.versions, changed.labels)
        self.config = changed
        if not self.arguments.dry_run:
            changed.write()
            self._tell()

    def _tell(self) -> None:
        """Has the server take the configuration at once, if its gRPC address is known."""
        if self.arguments.grpc is None:
            return
        import grpc
        from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

        request = model_management_pb2.ReloadConfigRequest(config=self.config.proto)
        with grpc.insecure_channel(self.arguments.grpc.removeprefix("grpc://")) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            try:
                response = stub.HandleReloadConfigRequest(request, timeout=self.arguments.wait)
            except grpc.RpcError as error:
                raise RolloutError(
                    f"the server at {self.arguments.grpc} did not take the configuration: "
                    f"{error.code().name}: {error.details()}"
                ) from error
        if response.status.error_code:
            raise RolloutError(
                f"the server refused the configuration: {response.status.error_message}"
            )

    def _load_error(self, version: int) -> str:
        """Why the version did not load when it was tried last; "" if it was not."""
        states = {one.version: one for one in self.client.versions()}
        return states[version].error if version in states else ""

    def _wait_until_loaded(self, version: int, failed_before: str = "") -> None:
        old_error = failed_before

        def loaded() -> bool:
            nonlocal old_error
            one = {one.version: one for one in self.client.versions()}.get(version)
            if one is None:
                return False
            if one.state != "END":
                old_error = ""
            elif one.error and not old_error:
                raise RolloutError(f"version {version} does not load: {one.error}")
            return one.state == "AVAILABLE"

        self._wait(loaded, f"version {version} is loaded")

    def _wait_until_labelled(self, label: str, version: int) -> None:
        client = self._client(label)

        def labelled() -> bool:
            try:
                return client.resolved_version() == version
            except ServingError as error:
                if error.status in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"):
                    return False  # The server has not read the file yet.
                raise

        self._wait(labelled, f"version {version} answers as {label}")

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        if self.arguments.dry_run:
            LOG.info("would wait until %s", what)
            return
        end = time.monotonic() + self.arguments.wait
        while not done():
            if time.monotonic() >= end:
                raise RolloutError(
                    f"after {self.arguments.wait:g} s it is not so that {what}. The server reads "
                    "the file only with --model_config_file_poll_wait_seconds above 0, or when it "
                    "is told by --grpc; its log says more"
                )
            self.sleep(self.arguments.poll)
        LOG.info("%s", what)

    def _check(self, compare: bool) -> None:
        """Asks canary, and stable beside it, and judges the answers."""
        if self.arguments.dry_run:
            LOG.info("would send %d requests to %s", self.arguments.requests, CANARY)
            return
        histories = self._histories()
        labels = (CANARY, STABLE) if compare else (CANARY,)
        # Both warm up first, then in turns, so that what slows the machine slows both.
        self._probe(histories[: max(len(histories) // 10, 1)], labels)
        probes = self._probe(histories, labels)
        canary = probes[CANARY]
        for label, probe in probes.items():
            LOG.info(
                "%s: %d requests, %d failed, p99 %.1f ms",
                label,
                probe.requests,
                probe.errors,
                1000 * probe.p99,
            )
        if canary.errors > self.arguments.max_error_rate * canary.requests:
            raise RolloutError(
                f"{canary.errors} of {canary.requests} requests failed; the last: {canary.error}"
            )
        if 1000 * canary.p99 > self.arguments.max_p99_ms:
            raise RolloutError(
                f"p99 is {1000 * canary.p99:.1f} ms, more than the {self.arguments.max_p99_ms:g} "
                "of --max-p99-ms"
            )
        if not any(canary.items):
            raise RolloutError("no request was answered with an item")
        if compare and not probes[STABLE].errors:
            allowed = self.arguments.max_p99_ratio * probes[STABLE].p99 + 0.001
            if canary.p99 > allowed:
                raise RolloutError(
                    f"p99 is {1000 * canary.p99:.1f} ms, more than {1000 * allowed:.1f} ms, "
                    f"{self.arguments.max_p99_ratio:g} times that of {STABLE}"
                )
            if canary.errors == 0:
                same = [
                    len(set(a) & set(b)) / max(len(b), 1)
                    for a, b in zip(canary.items, probes[STABLE].items, strict=True)
                ]
                LOG.info("%.0f %% of the items are those of %s", 100 * np.mean(same), STABLE)
                if np.mean(same) < self.arguments.min_overlap:
                    raise RolloutError(
                        f"{100 * np.mean(same):.0f} % of the items are those of {STABLE}, less "
                        "than --min-overlap allows"
                    )

    def _probe(self, histories: Sequence[History], labels: Sequence[str]) -> dict[str, Probe]:
        clients = {label: self._client(label) for label in labels}
        seconds: dict[str, list[float]] = {label: [] for label in labels}
        items: dict[str, list[list[Any]]] = {label: [] for label in labels}
        errors = dict.fromkeys(labels, 0)
        last = dict.fromkeys(labels, "")
        for history, (label, client) in itertools.product(histories, clients.items()):
            begin = time.perf_counter()
            try:
                (answer,) = client.recommend([history], k=self.arguments.k)
            except (ServingError, ValueError) as error:
                errors[label] += 1
                last[label] = str(error)
                continue
            seconds[label].append(time.perf_counter() - begin)
            if not np.isfinite([one.score for one in answer]).all():
                errors[label] += 1
                last[label] = f"a score is not a number: {answer}"
                seconds[label].pop()
                continue
            items[label].append([one.item_id for one in answer])
        for client in clients.values():
            client.close()
        return {
            label: Probe(len(histories), errors[label], seconds[label], items[label], last[label])
            for label in labels
        }

    def _histories(self) -> list[History]:
        """Those of --probes, or made of the export's vocabulary, or empty ones."""
        count = self.arguments.requests
        if self.arguments.probes is not None:
            found = [
                History(one["item_ids"], one.get("session_index"), one.get("inputs", {}))
                for one in map(json.loads, self.arguments.probes.read_text().splitlines())
            ]
            return list(itertools.islice(itertools.cycle(found), count))
        ids: list[str] = []
        if self.arguments.exports is not None:
            newest = self.arguments.exports / str(self.arguments.version)
            file = newest / "assets" / "vocabulary.txt"
            if file.is_file():
                with file.open(encoding="utf-8", newline="\n") as lines:
                    ids = [line.rstrip("\n") for line in itertools.islice(lines, 1000)]
        generator = np.random.default_rng(0)
        needed = set(self.client.signatures()["recommend"].inputs) - {
            "item_ids",
            "session_index",
            "k",
            "labels",
        }
        if needed:
            raise RolloutError(
                f"the model reads {sorted(needed)} of each item: name a file of --probes"
            )
        histories = [History([])]
        for _ in range(count - 1):
            length = int(generator.integers(1, 20)) if ids else 0
            picked = generator.integers(0, max(len(ids), 1), length)
            histories.append(
                History([ids[n] for n in picked], sorted(generator.integers(0, 4, length).tolist()))
            )
        return histories

    def _client(self, label: str) -> Client:
        arguments = self.arguments
        return Client(
            arguments.url,
            arguments.model_name,
            label=label,
            timeout=arguments.timeout,
            history_length=arguments.history_length,
        )

    def _put_back(self, before: ModelsConfig) -> None:
        try:
            # Labels first: a version is unloaded when nobody is sent to it any more.
            versions = [*before.versions, *before.labels.values(), *self.config.versions]
            self._change(before.with_(versions, before.labels), "put the labels back")
            self._change(before, "put the versions back")
        except (RolloutError, OSError) as error:
            LOG.error("models.config may not be as before: %s", error)


def make_parser() -> argparse.ArgumentParser:
    """The arguments."""
    text = __doc__ or ""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--config", type=pathlib.Path, required=True, help="models.config of the server")
    add("--model-name", required=True, help="the model's name in it")
    add("--url", required=True, help="http://HOST:PORT of the server's REST port, or grpc://...")
    add("--grpc", help="grpc://HOST:PORT: tell the server at once (default: it polls the file)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--version", type=int, help="roll this version out")
    what.add_argument("--roll-back", action="store_true", help="back to the version before")
    what.add_argument("--retire", action="store_true", help="unload versions without a label")
    add("--exports", type=pathlib.Path, help="folder of the numbered versions, seen from here")
    add("--dry-run", action="store_true", help="say what would be done, change nothing")
    add("--requests", type=int, default=200, help="requests to each label (default 200)")
    add("--probes", type=pathlib.Path, help="JSON lines of histories: item_ids, session_index")
    add("--k", type=int, default=20, help="items a request (default 20)")
    add("--history-length", type=int, help="as the clients of a server with batching have it")
    add("--max-error-rate", type=float, default=0.0, help="of canary's requests (default 0)")
    add("--max-p99-ms", type=float, default=1000.0, help="of canary (default 1000)")
    add("--max-p99-ratio", type=float, default=2.0, help="to stable's p99 (default 2)")
    add("--min-overlap", type=float, default=0.0, help="items shared with stable (default 0)")
    add("--timeout", type=float, default=10.0, help="seconds a request (default 10)")
    add("--wait", type=float, default=300.0, help="seconds for a load (default 300)")
    add("--poll", type=float, default=0.5, help="seconds between looks (default 0.5)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0 done, 1 rolled back or stopped.
    """
    arguments = make_parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    try:
        rollout = Rollout(arguments)
        if arguments.roll_back:
            rollout.roll_back()
        elif arguments.retire:
            rollout.retire()
        else:
            rollout.roll_out(arguments.version)
    except (RolloutError, ImportError, OSError, ValueError) as error:
        LOG.error("%s", error)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
