"""The last look before a payload leaves."""

import pytest

from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity
from tierqueue.workers.egress import check


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_whatever_stays_in_the_house_may_be_sent(sensitivity: Sensitivity) -> None:
    check(sensitivity, "house", "item-1")


@pytest.mark.parametrize("sensitivity", [Sensitivity.PUBLIC, Sensitivity.INTERNAL])
def test_public_and_internal_items_may_go_to_a_vendor(sensitivity: Sensitivity) -> None:
    check(sensitivity, "vendor:acme", "item-1")


@pytest.mark.parametrize("sensitivity", [Sensitivity.CONFIDENTIAL, Sensitivity.REGULATED])
def test_confidential_and_regulated_items_never_leave_the_house(sensitivity: Sensitivity) -> None:
    with pytest.raises(EgressRefused) as refused:
        check(sensitivity, "vendor:acme", "item-1")
    assert refused.value.fields == {
        "item": "item-1",
        "sensitivity": sensitivity.value,
        "boundary": "vendor:acme",
    }
    assert refused.value.reason == "egress"


@pytest.mark.parametrize("boundary", ["", "House", "house ", "vendor", "vendor:", "vendor: ", "x"])
@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_a_boundary_nobody_declared_is_refused_for_everyone(
    sensitivity: Sensitivity, boundary: str
) -> None:
    with pytest.raises(EgressRefused):
        check(sensitivity, boundary, "item-1")
