"""Nothing simulated goes unlabelled: by calls, by the answer that was used again, by a document."""

from typing import Any

import pytest
from sqlalchemy import insert

from tests.ledger.placed import place
from tierqueue.ledger.results import simulated
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import attempts


def called(ledger: Ledger, item_id: str, simulated: bool | None, deployment: str = "house") -> str:
    row: dict[str, Any] = {
        "item_id": item_id,
        "fence": 1,
        "tier": "gpu",
        "deployment": deployment,
        "provider": "house",
        "worker": "w",
        "metered": False,
        "balances": [],
        "held": 0,
        "started_at": 1,
        "simulated": simulated,
    }
    with ledger.write() as connection:
        connection.execute(insert(attempts), row)
    return item_id


def of(ledger: Ledger, *ids: str, deployments: tuple[str, ...] = ()) -> frozenset[str]:
    with ledger.read() as connection:
        return simulated.of_items(connection, ids, deployments)


@pytest.mark.parametrize(
    ("said", "stated", "labelled"),
    [(True, False, True), (False, True, False), (None, True, True), (None, False, False)],
    ids=["its reply says so", "its reply denies it", "no reply: its deployment", "nobody says so"],
)
def test_a_call_is_what_its_reply_says_and_else_what_its_deployment_is(
    ledger: Ledger, said: bool | None, stated: bool, labelled: bool
) -> None:
    item = called(ledger, place(ledger, "succeeded", deployment=None), said, "sandbox")
    found = of(ledger, item, deployments=("sandbox",) if stated else ())
    assert found == ({item} if labelled else set())


def test_who_took_over_a_simulated_answer_is_labelled_without_a_call(ledger: Ledger) -> None:
    reused = place(ledger, "succeeded", receipt={"simulated": True})
    real = place(ledger, "succeeded", receipt={"simulated": False})
    coming = place(ledger, "routed", deployment="sandbox")
    assert of(ledger, reused, real, coming, deployments=("sandbox",)) == {reused, coming}
    assert of(ledger) == frozenset()


def test_a_document_is_labelled_for_one_of_its_pieces(ledger: Ledger) -> None:
    called(ledger, place(ledger, "succeeded", part_of="document-1"), True)
    called(ledger, place(ledger, "succeeded", part_of="document-2"), False)
    assert of(ledger, "document-1", "document-2") == {"document-1"}


def test_a_job_and_a_ledger_are_known_by_their_first_and_last_items(ledger: Ledger) -> None:
    called(ledger, place(ledger, "succeeded", job_id="real", job_index=0), False)
    called(ledger, place(ledger, "succeeded", job_id="tried", job_index=0), True, "sandbox")
    with ledger.read() as connection:
        assert not simulated.of_job(connection, "real")
        assert simulated.of_job(connection, "tried")
        assert simulated.deployments(connection, {"stated"}) == {"stated", "sandbox"}
