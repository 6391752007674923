"""The command against a running server."""

import json
import pathlib
from typing import Any

import pytest

from tfsessionrec.cli.main import main


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_ask(
    server: Any,
    serving: Any,
    models: Any,
    vocabulary: Any,
    protocol: str,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "answer.json"
    to = ["ask", "--url", server.address(protocol), "--model-name", serving.NAME]
    history = ["--items", "item 3,item 1", "--sessions", "0,1"]
    assert main([*to, *history, "--k", "2", "--label", "stable", "--json", str(file)]) == 0
    expected = serving.expected(models[1], vocabulary, ["item 3", "item 1"], 2)
    rows = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [[cell.strip() for cell in row if cell][:2] for row in rows[1:]] == [
        [str(place), item] for place, (item, _) in enumerate(expected, 1)
    ]
    answer = json.loads(file.read_text())["answer"]
    assert [row["item"] for row in answer] == [item for item, _ in expected]
    assert answer[0]["score"] == pytest.approx(expected[0][1], rel=1e-5)

    assert main([*to, "--signature", "rank", *history, "--candidates", "item 5,x"]) == 0
    ranked = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [known for known, _ in ranked] == ["True", "False"]
    assert ranked[1] == ["False", "unknown"]
    assert main([*to, "--signature", "encode", *history]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 4
    assert main([*to, "--signature", "status"]) == 0
    assert "AVAILABLE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--candidates", "a"], "`--candidates` should be given with `--signature rank`"),
        (["--signature", "rank"], "`--candidates` should be given with `--signature rank`"),
        (["--sessions", "a"], "`--sessions` should be integers"),
        (["--input", "exclude_ids"], "`--input` should be NAME=JSON"),
        (["--item-input", "labels"], "`--item-input` should be NAME=A,B,..."),
        (["--signature", "similar_items"], "`--items` should name at least one item"),
        (["--retries", "0"], "UNAVAILABLE at http://127.0.0.1:9"),
    ],
)
def test_ask_says_what_is_wrong(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", "--url", "http://127.0.0.1:9", "--model-name", "shop", *arguments]) == 2
    assert message in capsys.readouterr().err
