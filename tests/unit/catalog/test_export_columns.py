"""Which columns an export can have."""

from __future__ import annotations

import pytest

from services.catalog.export.columns import COLUMNS, ENTERPRISE, STORED, choose_columns
from services.catalog.findings import Sheet
from services.runtime.errors import InvalidArgumentError, Reason


def test_all_columns_are_the_default_and_no_name_comes_twice() -> None:
    names = [column.name for column in choose_columns([])]
    assert names == [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)


def test_everything_that_is_derived_of_a_result_can_be_exported() -> None:
    assert set(Sheet._fields) - {"taken_time_us"} <= STORED
    assert "taken_time" in STORED


def test_columns_come_in_the_order_asked_for() -> None:
    chosen = choose_columns(["caption", "labels.album", "name"])
    assert [(column.name, column.title) for column in chosen] == [
        ("caption", "Caption"),
        ("labels.album", "album"),
        ("name", "Name"),
    ]


def test_the_enterprise_set_takes_from_the_catalog_what_it_knows_and_the_rest_from_labels() -> None:
    chosen = choose_columns(["enterprise", "number"])
    assert [column.name for column in chosen] == [*(column.name for column in ENTERPRISE), "number"]
    stored = {column.name: column.stored for column in chosen}
    assert stored["image_description"] == "caption"
    assert stored["created_at"] == "create_time"
    assert stored["storefront_photo_url"] == "labels.storefront_photo_url"


@pytest.mark.parametrize(
    "names",
    [
        ["nmae"],
        ["labels."],
        ["labels.A b"],
        ["labels.x'y"],
        ["name", "name"],
        ["enterprise", "enterprise"],
        [f"labels.k{number}" for number in range(201)],
    ],
)
def test_what_is_no_column_or_comes_twice_is_refused(names: list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as refusal:
        choose_columns(names)
    assert refusal.value.reason == Reason.INVALID_FIELD
    assert refusal.value.metadata["field"] == "columns"


def test_a_refusal_names_what_there_is() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'nmae'.*name, number.*labels\.KEY, enterprise"):
        choose_columns(["nmae"])
