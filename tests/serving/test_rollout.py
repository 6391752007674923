"""Rolling out on a running server."""

import pathlib
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUICK = ["--requests", "10", "--poll", "0.05", "--wait", "60", "--max-p99-ratio", "1000"]


@pytest.fixture(scope="module")
def rollout(serving: Any) -> Any:
    pytest.importorskip("tensorflow_serving")
    return serving.script("rollout")


@pytest.fixture(scope="module", params=["stand-in", "tensorflow_model_server"])
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    serving: Any,
    exports: pathlib.Path,
) -> Iterator[Any]:
    """A server that tests may change, and the common arguments of a command."""
    folder = tmp_path_factory.mktemp("rollout")
    config = folder / "models.config"
    base = folder / "exports"
    base.mkdir()
    for version in ("1", "2"):
        (base / version).symlink_to(exports / version)
    serving.write_models_config(config, base, [1], {"stable": 1, "canary": 1})
    with serving.running(
        request.param,
        folder,
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--max_num_load_retries=0",
        "--allow_version_labels_for_unavailable_models=true",
    ) as server:
        server.config, server.base = config, base
        server.command = ["--config", str(config), "--exports", str(base)]
        server.command += ["--url", server.rest, "--model-name", serving.NAME, *QUICK]
        yield server


@pytest.fixture
def shop(running: Any, rollout: Any) -> Iterator[Any]:
    """The server with version 1 alone; the state is restored after the test."""
    yield running
    to = [*running.command, "--grpc", running.grpc]
    assert rollout.main([*to, "--version", "1"]) == 0
    assert rollout.main([*to, "--retire"]) == 0


def best(server: Any, label: str = "stable") -> list[str]:
    with server.client(label=label) as client:
        (answer,) = client.recommend([["item 3"]], k=4)
    return [one.item_id for one in answer]


@pytest.fixture
def answers(serving: Any, models: Any, vocabulary: Any) -> dict[int, list[str]]:
    """The recommendations of each version after item 3."""
    found = {
        number: [item for item, _ in serving.expected(model, vocabulary, ["item 3"], 4)]
        for number, model in models.items()
    }
    assert found[1] != found[2]
    return found


@pytest.mark.slow
def test_out_and_back(
    rollout: Any, shop: Any, answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert best(shop) == answers[1]
    to = [*shop.command, "--grpc", shop.grpc]
    assert rollout.main([*to, "--version", "2", "--dry-run"]) == 0
    assert "would write" in caplog.text
    assert "version 2 would be stable" in caplog.text
    assert "version 2 is stable" not in caplog.text
    assert best(shop) == answers[1]
    assert rollout.ModelsConfig(shop.config, "shop").versions == [1]

    assert rollout.main([*to, "--version", "2"]) == 0
    assert best(shop) == best(shop, "canary") == answers[2]
    config = rollout.ModelsConfig(shop.config, "shop")
    assert (config.versions, config.labels) == ([1, 2], {"stable": 2, "canary": 2})

    written = shop.config.stat().st_mtime_ns
    assert rollout.main([*to, "--version", "2"]) == 0
    assert "nothing to do" in caplog.text
    assert shop.config.stat().st_mtime_ns == written

    assert rollout.main([*to, "--roll-back"]) == 0
    assert best(shop) == answers[1]
    assert rollout.main([*to, "--retire"]) == 0
    assert rollout.ModelsConfig(shop.config, "shop").versions == [1]
    assert rollout.main([*to, "--roll-back"]) == 1
    assert "no other version to go back to" in caplog.text


@pytest.mark.slow
def test_a_version_that_is_being_unloaded(rollout: Any, shop: Any, answers: Any) -> None:
    """It reads AVAILABLE for a second, whatever the file says by then."""
    to = [*shop.command, "--grpc", shop.grpc]
    assert rollout.main([*to, "--version", "2"]) == 0
    assert rollout.main([*to, "--roll-back"]) == 0
    assert rollout.main([*to, "--retire"]) == 0
    with shop.client() as client:
        assert {one.version: one.state for one in client.versions()}[2] == "AVAILABLE"
    assert rollout.main([*shop.command, "--version", "2"]) == 0
    assert best(shop) == answers[2]


def test_a_version_that_is_gone_is_loaded_again(
    rollout: Any, serving: Any, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The label does not take because the version was unloaded: the file before, then the label."""
    config = tmp_path / "models.config"
    serving.write_models_config(config, tmp_path, [1, 2], {"stable": 1, "canary": 1})
    command = ["--config", str(config), "--model-name", serving.NAME, "--url", "http://x:1"]
    steps = rollout.Rollout(rollout.make_parser().parse_args([*command, "--version", "2"]))
    written: list[dict[str, int]] = []
    waits = iter([False, True])
    monkeypatch.setattr(rollout.ModelsConfig, "write", lambda new: written.append(new.labels))
    monkeypatch.setattr(steps, "_wait_until_labeled", lambda label, version: next(waits))
    monkeypatch.setattr(steps, "_wait_until_loaded", lambda version: written.append({"loaded": 2}))
    before = steps.config
    steps._label(before.with_([1, 2], {"stable": 1, "canary": 2}), "canary", 2)
    old, new = {"stable": 1, "canary": 1}, {"stable": 1, "canary": 2}
    assert written == [new, old, {"loaded": 2}, new]


@pytest.mark.slow
def test_by_the_polled_file(rollout: Any, shop: Any, answers: Any) -> None:
    assert rollout.main([*shop.command, "--version", "2"]) == 0
    assert best(shop) == answers[2]


@pytest.mark.slow
def test_failures_are_undone(
    rollout: Any, shop: Any, answers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    to = [*shop.command, "--grpc", shop.grpc]
    before = rollout.ModelsConfig(shop.config, "shop").proto
    shutil.rmtree(shop.base / "3", ignore_errors=True)
    shutil.copytree(shop.base / "1", shop.base / "3")
    (shop.base / "3" / "saved_model.pb").write_bytes(b"no model")
    for arguments, message in (
        (["--version", "9"], "no export at"),
        (["--version", "3"], "version 3 does not load: "),
        (["--version", "2", "--max-p99-ms", "0.0001"], "more than the 0.0001 of --max-p99-ms"),
        (["--version", "2", "--min-overlap", "1", "--k", "4"], "less than --min-overlap"),
    ):
        caplog.clear()
        assert rollout.main([*to, *arguments]) == 1
        assert message in caplog.text
        assert rollout.ModelsConfig(shop.config, "shop").proto == before
        assert best(shop) == best(shop, "canary") == answers[1]


@pytest.mark.slow
def test_no_request_fails_while_versions_change(rollout: Any, shop: Any, answers: Any) -> None:
    done, failures, seen = threading.Event(), [], []

    def ask(protocol: str) -> None:
        # No retries: the first answer counts.
        with shop.client(protocol, label="stable", retries=0) as client:
            while not done.is_set() and len(seen) < 100_000:
                try:
                    (answer,) = client.recommend([["item 3"]], k=4)
                except OSError as error:
                    failures.append(error)
                    return
                seen.append(tuple(one.item_id for one in answer))

    threads = [threading.Thread(target=ask, args=(p,)) for p in ("http", "grpc", "http")]
    for thread in threads:
        thread.start()
    try:
        to = [*shop.command, "--grpc", shop.grpc]
        for arguments in (["--version", "2"], ["--roll-back"], ["--version", "2"], ["--retire"]):
            assert rollout.main([*to, *arguments]) == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert set(seen) == {tuple(answers[1]), tuple(answers[2])}
    assert best(shop) == answers[2]


def test_models_config(rollout: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "models.config"
    shutil.copy(ROOT / "serving" / "models.config", file)
    text = file.read_text()
    config = rollout.ModelsConfig(file, "sessionrec")
    changed = config.with_([4, 3, 3], {"stable": 3})
    assert (changed.versions, changed.labels) == ([3, 4], {"stable": 3})
    assert (config.versions, config.labels) == ([1], {"stable": 1, "canary": 1})
    changed.write()
    assert rollout.ModelsConfig(file, "sessionrec").proto == changed.proto
    assert file.with_name("models.config.previous").read_text() == text
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "models.config",
        "models.config.previous",
    ]
    with pytest.raises(rollout.RolloutError, match=r"has no model 'news'; it has \['sessionrec'\]"):
        rollout.ModelsConfig(file, "news")
    file.write_text("model_config_list {")
    with pytest.raises(rollout.RolloutError, match=r"is not a models\.config"):
        rollout.ModelsConfig(file, "sessionrec")
