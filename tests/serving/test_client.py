"""The client against a running server."""

from typing import Any

import numpy as np
import pytest

from tfsessionrec.client import Client, History, ServingError

HISTORIES = [["item 3"], [], ["item 1", "item 2"], ["item 0"] * 2]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("described", [True, False])
def test_every_signature(
    server: Any,
    serving: Any,
    exports: Any,
    models: Any,
    vocabulary: Any,
    protocol: str,
    described: bool,
) -> None:
    description = exports / "1" / "signature.json" if described else None
    with server.client(protocol, label="stable", description=description) as client:
        answers = client.recommend(HISTORIES, k=[3, 12, 1, 500])
        for history, answer, k in zip(HISTORIES, answers, (3, 12, 1, 12), strict=True):
            expected = serving.expected(models[1], vocabulary, history, k)
            assert [one.item_id for one in answer] == [item for item, _ in expected]
            np.testing.assert_allclose(
                [one.score for one in answer],
                [score for _, score in expected],
                rtol=1e-5,
                atol=1e-6,
            )
        (answer,) = client.recommend([HISTORIES[0]])
        assert len(answer) == (5 if described else serving.NUM_ITEMS)

        scores = dict(serving.expected(models[1], vocabulary, ["item 3"], 12))
        (ranked,) = client.rank([["item 3"]], ["item 7", "nothing", "item 0"])
        assert [(one.item_id, one.known) for one in ranked] == [
            ("item 7", True),
            ("nothing", False),
            ("item 0", True),
        ]
        assert ranked[0].score == pytest.approx(scores["item 7"], rel=1e-5, abs=1e-6)
        assert ranked[2].score == pytest.approx(scores["item 0"], rel=1e-5, abs=1e-6)
        two = client.rank([["item 3"], ["item 3"]], [["item 7"], ["item 0", "item 7"]])
        assert [[one.item_id for one in row] for row in two] == [["item 7"], ["item 0", "item 7"]]
        assert two[0][0].score == pytest.approx(two[1][1].score, rel=1e-5, abs=1e-6)

        queries = client.encode([["item 3"], History.of_sessions([["item 1"], ["item 2"]])])
        table = models[1].table.numpy()
        np.testing.assert_allclose(queries[0], table[5], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(queries[1], (table[3] + table[4]) / 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_rules_and_similar_items(
    server: Any, serving: Any, models: Any, vocabulary: Any, protocol: str
) -> None:
    order = [item for item, _ in serving.expected(models[1], vocabulary, ["item 3"], 12)]
    with server.client(protocol) as client:

        def ask(histories: Any, **rules: Any) -> list[list[Any]]:
            answers = client.recommend_filtered(histories, k=4, **rules)
            return [[one.item_id for one in answer] for answer in answers]

        assert ask([["item 3"]]) == [order[:4]]
        assert ask([["item 3"]] * 2, exclude_ids=[[order[0], order[2]], []]) == [
            [order[1], *order[3:6]],
            order[:4],
        ]
        assert ask([["item 3"]] * 2, exclude_ids=[order[0]]) == [order[1:5]] * 2
        assert ask([["item 3"]], allow_ids=["item 7", "item 8", "missing"]) == [
            [item for item in order if item in ("item 7", "item 8")]
        ]
        (answer,) = ask([["item 3", order[0]]], exclude_seen=True)
        assert not {"item 3", order[0]} & set(answer)
        assert len(answer) == 4

        table = models[1].table.numpy()[vocabulary.first_item_index :]
        unit = table / np.linalg.norm(table, axis=1, keepdims=True)
        like = np.argsort(-(unit @ unit[3]), kind="stable")[1:4]
        near, none = client.similar_items(["item 3", "missing"], k=3)
        assert [one.item_id for one in near] == [f"item {n}" for n in like]
        assert none == []


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_state_of_versions(server: Any, protocol: str) -> None:
    with server.client(protocol) as client:
        assert [(one.version, one.state, one.error) for one in client.versions()] == [
            (1, "AVAILABLE", "")
        ]
        assert client.is_ready()
        assert client.resolved_version() == 1
    with server.client(protocol, label="stable") as client:
        assert client.resolved_version() == 1
    with Client(server.address(protocol), "other", timeout=5.0) as client:
        assert not client.is_ready()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("options", [{"version": 7}, {"label": "missing"}])
def test_what_is_not_there(server: Any, protocol: str, options: Any) -> None:
    with server.client(protocol, **options) as client:
        assert not client.is_ready()
        with pytest.raises(ServingError, match=r"at (http|grpc)://127.*shop") as error:
            client.recommend([["item 1"]], k=3)
    assert error.value.status in ("NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION")


def test_unknown_signature_and_input(server: Any) -> None:
    with server.client() as client:
        with pytest.raises(ValueError, match=r"should have the signature 'recommend_nothing'"):
            client._recommend("recommend_nothing", [["item 1"]], 3, {})
        with pytest.raises(ValueError, match=r"of the signature: \[.*Received: colour"):
            client.recommend([["item 1"]], k=3, colour="red")
