#!/usr/bin/env python3
r"""Roll a new version out on a running server, or back.

    python serving/rollout.py --config serving/models.config --exports exported/sessionrec \
        --url http://localhost:8501 --model-name sessionrec --version 2

1. It loads the new version next to the one with the label stable.
2. It labels the new version canary and sends it the same requests as stable, in turns. Canary must
   answer nearly all of them, with a p99 that is not much worse than stable's.
3. It labels the new version stable. The version before stays loaded, for --roll-back.

If a step fails, it restores the labels and versions and exits with status 1. A second run continues
from the current state. Every change is one atomic replacement of models.config. The server reads
that file every --model_config_file_poll_wait_seconds; with --grpc it reloads at once.

Needs tensorflow-serving-api (pip install 'tfsessionrec[serving]').
"""

import argparse
import logging
import pathlib
import sys
import time
from collections.abc import Callable, Sequence

from canary import CANARY, STABLE, check, client_of
from models_config import ModelsConfig, RolloutError

from tfsessionrec.client import Client, ServingError

LOG = logging.getLogger("rollout")
UNLOADING_SECONDS = 5.0  # in which a version that is being unloaded may read AVAILABLE


class Rollout:
    """The steps of a roll-out; after each, the server answers requests for `stable`.

    Args:
        arguments: The arguments of the command.
        sleep: Waits a number of seconds. Defaults to `time.sleep`.
    """

    def __init__(
        self, arguments: argparse.Namespace, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.arguments = arguments
        self.sleep = sleep
        self.config = ModelsConfig(arguments.config, arguments.model_name)
        self.client = Client(arguments.url, arguments.model_name, timeout=arguments.timeout)

    def roll_out(self, version: int) -> None:
        """Loads a version, tests it, and labels it stable."""
        self._check_export(version)
        before, labels = self.config, self.config.labels
        stable = labels.get(STABLE)
        if stable == version:
            # After an interrupted run, the server may not have read the file yet.
            if not self._wait_until_labeled(STABLE, version):
                raise RolloutError(f"version {version} is labeled {STABLE} but is not loaded")
            LOG.info("version %d is stable already: nothing to do", version)
            return
        kept = [version] if stable is None else [stable, version]
        promoted = {**labels, STABLE: version, CANARY: version}
        try:
            failed_before = self._load_error(version)
            if before.versions and version not in before.versions:
                self._let_unload(version)
            # The server refuses to move a label to a version that is not loaded: load first.
            self._change(before.with_([*kept, *labels.values()], labels), f"load version {version}")
            self._wait_until_loaded(version, failed_before)
            self._label(before.with_(kept, {**labels, CANARY: version}), CANARY, version)
            self._check(compare=stable is not None)
            self._label(before.with_(kept, promoted), STABLE, version)
        except (RolloutError, OSError, ValueError, KeyboardInterrupt) as error:
            LOG.error("version %d is not rolled out: %s", version, error or "interrupted")
            self._restore(before)
            raise
        if stable is not None:
            LOG.info("version %d stays loaded, for --roll-back", stable)
        self._say_stable(version)

    def roll_back(self) -> None:
        """Labels the version before the stable one stable, if it is still loaded."""
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
        self._label(self.config.with_(self.config.versions, labels), STABLE, version)
        self._say_stable(version)

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

    def _say_stable(self, version: int) -> None:
        would = "would be" if self.arguments.dry_run else "is"
        LOG.info("version %d %s stable", version, would)

    def _label(self, changed: ModelsConfig, label: str, version: int) -> None:
        """Moves a label to a version that is loaded.

        The server refuses a file that labels a version which is not loaded (any more), whole, so
        that nothing would load that version: it is loaded again first.
        """
        loads = self.config
        while True:
            try:
                self._change(changed, f"label version {version} {label}")
            except RolloutError:
                if self._is_loaded(version):
                    raise
            if self._wait_until_labeled(label, version):
                return
            self._change(loads, f"version {version} has been unloaded: load it again")
            self._wait_until_loaded(version)

    def _let_unload(self, version: int) -> None:
        """Waits for the end of a version that is being unloaded, after --retire."""
        end = time.monotonic() + UNLOADING_SECONDS
        while not self.arguments.dry_run and self._is_loaded(version) and time.monotonic() < end:
            self.sleep(self.arguments.poll)

    def _is_loaded(self, version: int) -> bool:
        return any(
            one.version == version and one.state == "AVAILABLE" for one in self.client.versions()
        )

    def _check_export(self, version: int) -> None:
        """Raises an error if this machine sees the exports but not this version."""
        if self.arguments.exports is None:
            return
        path = self.arguments.exports / str(version)
        if not (path / "saved_model.pb").is_file():
            found = sorted(p.name for p in self.arguments.exports.glob("[0-9]*"))
            raise RolloutError(f"no export at {path}; its folder holds the versions {found}")

    def _change(self, changed: ModelsConfig, what: str) -> None:
        if changed.proto == self.config.proto:
            LOG.info("%s: done before", what)
            return
        would = "would write " if self.arguments.dry_run else ""
        LOG.info("%s: %sversions %s, labels %s", what, would, changed.versions, changed.labels)
        self.config = changed
        if not self.arguments.dry_run:
            changed.write()
            self._reload()

    def _reload(self) -> None:
        """Sends the configuration to the server, if --grpc gives its address."""
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
                    f"the server at {self.arguments.grpc} did not accept the configuration: "
                    f"{error.code().name}: {error.details()}"
                ) from error
        if response.status.error_code:
            raise RolloutError(
                f"the server refused the configuration: {response.status.error_message}"
            )

    def _load_error(self, version: int) -> str:
        """The error of the version's last load; "" if it succeeded or was not attempted."""
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

    def _wait_until_labeled(self, label: str, version: int) -> bool:
        """Waits until a label is a version's; False if that version is not loaded any more."""
        client = client_of(self.arguments, label)
        unloaded = False

        def labeled() -> bool:
            nonlocal unloaded
            try:
                if client.resolved_version() == version:
                    return True
            except ServingError as error:
                # The server has not read the file yet.
                if error.status not in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"):
                    raise
            unloaded = not self._is_loaded(version)
            return unloaded

        self._wait(labeled, f"version {version} answers as {label}, or is unloaded")
        return not unloaded

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        if self.arguments.dry_run:
            LOG.info("would wait until %s", what)
            return
        end = time.monotonic() + self.arguments.wait
        while not done():
            if time.monotonic() >= end:
                raise RolloutError(
                    f"not true after {self.arguments.wait:g} s: {what}. The server reads the file "
                    "only with --model_config_file_poll_wait_seconds above 0, or on a request by "
                    "--grpc; see its log"
                )
            self.sleep(self.arguments.poll)
        LOG.info("%s", what)

    def _check(self, compare: bool) -> None:
        if self.arguments.dry_run:
            LOG.info("would send %d requests to %s", self.arguments.requests, CANARY)
        else:
            check(self.arguments, compare)

    def _restore(self, before: ModelsConfig) -> None:
        try:
            # Labels first: a version may be unloaded only when no label names it.
            versions = [*before.versions, *before.labels.values(), *self.config.versions]
            self._change(before.with_(versions, before.labels), "restore the labels")
            self._change(before, "restore the versions")
        except (RolloutError, OSError) as error:
            LOG.error("models.config may differ from its state before: %s", error)


def make_parser() -> argparse.ArgumentParser:
    """The parser of the arguments."""
    text = __doc__ or ""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--config", type=pathlib.Path, required=True, help="models.config of the server")
    add("--model-name", required=True, help="the model's name in it")
    add("--url", required=True, help="http://HOST:PORT of the server's REST port, or grpc://...")
    add("--grpc", help="grpc://HOST:PORT: reload at once (default: the server polls)")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--version", type=int, help="version to roll out")
    what.add_argument("--roll-back", action="store_true", help="return to the version before")
    what.add_argument("--retire", action="store_true", help="unload versions without a label")
    add("--exports", type=pathlib.Path, help="folder of the numbered versions on this machine")
    add("--dry-run", action="store_true", help="print the steps, change nothing")
    add("--requests", type=int, default=200, help="requests to each label (default 200)")
    add("--probes", type=pathlib.Path, help="JSON lines of histories: item_ids, session_index")
    add("--k", type=int, default=20, help="items recommended for a request (default 20)")
    add("--history-length", type=int, help="that of the clients of a server with batching")
    add("--max-error-rate", type=float, default=0.0, help="limit for canary (default 0)")
    add("--max-p99-ms", type=float, default=1000.0, help="limit for canary (default 1000)")
    add("--max-p99-ratio", type=float, default=2.0, help="limit to stable's p99 (default 2)")
    add("--min-overlap", type=float, default=0.0, help="least share of stable's items (default 0)")
    add("--timeout", type=float, default=10.0, help="seconds until a request fails (default 10)")
    add("--wait", type=float, default=300.0, help="seconds for the server to load (default 300)")
    add("--poll", type=float, default=0.5, help="seconds between checks (default 0.5)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        The exit status: 0 done, 1 stopped by an error and restored.
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
