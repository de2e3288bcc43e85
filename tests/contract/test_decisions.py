"""A source that changes, and people who decide what becomes of it: over HTTP, runs included."""

import pytest

from catalog.models import Dataset
from ingest.models import ContractChange, IngestJob

JOB = {
    "name": "orders",
    "source_type": "file_upload",
    "write_mode": "append",
    "partition_mode": "none",
    "error_handling": "quarantine",
    "bad_row_threshold": 0.6,
}


class Orders:
    """The job and what is asked of it."""

    def __init__(self, api, shop, upload) -> None:
        self.api, self.shop, self.upload = api, shop, upload
        self.address = f"{shop}/ingest-jobs/orders/"

    def make(self, content: bytes, **fields) -> None:
        config = {"file": {"upload": self.upload("first", content)}}
        answer = self.api.post(f"{self.shop}/ingest-jobs/", {**JOB, "config": config, **fields})
        assert answer.status_code == 201, answer.json()

    def run(self, content: bytes | None = None) -> dict:
        if content is not None:
            changed = self.api.patch(self.address, {"config": {"file": {"upload": self.upload("next", content)}}})
            assert changed.status_code == 200, changed.json()
        return self.api.post(f"{self.address}run/?wait=30").json()

    def changes(self, status: str = "pending") -> list[dict]:
        return self.api.get(f"{self.address}contract-changes/?status={status}").json()["results"]

    def decide(self, change: dict, decision: str, body: dict | None = None, status: int = 200) -> dict:
        answer = self.api.post(f"{self.address}contract-changes/{change['id']}/{decision}/", body or {})
        assert answer.status_code == status, answer.json()
        return answer.json()

    def columns(self) -> dict[str, str]:
        columns = Dataset.objects.get(name="bronze.shop.orders").columns
        return {column["name"]: column["type"] for column in columns if not column["name"].startswith("_")}


@pytest.fixture
def orders(api, shop, upload):
    return Orders(api, shop, upload)


FIRST = b'{"id":1,"x":"2026-01-02T03:04:05"}\n{"id":2,"x":"2026-01-02T03:04:06"}\n'
NUMBERS = b'{"id":3,"x":"2026-01-02T03:04:07"}\n{"id":4,"x":7}\n'


@pytest.fixture
def changed(orders):
    """A column of timestamps that now has numbers, too."""
    orders.make(FIRST, format="ndjson")
    assert orders.run()["status"] == "success"
    assert orders.run(NUMBERS)["quarantined_rows"] == 1
    return orders


def test_a_change_waits_with_its_values_and_what_a_decision_means(changed):
    [change] = changed.changes()
    assert {key: change[key] for key in ("column", "change", "old", "new", "examples", "rows", "status")} == {
        "column": "x",
        "change": "type",
        "old": "timestamp",
        "new": "int64",
        "examples": ["7"],
        "rows": 1,
        "status": "pending",
    }
    assert change["if_accepted"] == (
        "x becomes string: each value as text with the next run. The rows that the table has are rewritten with it."
    )
    assert (change["downstream"], change["decided_by"]) == ([], None)


def test_what_is_made_from_the_table_is_told_with_the_change(changed, make):
    silver = {"name": "facts", "dataset_type": "fact", "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}]}
    silver |= {"sql_text": "select id from orders", "target_schema": [{"name": "id", "type": "int64"}]}
    make(f"{changed.shop}/silver-jobs/", silver)
    [change] = changed.changes()
    assert change["downstream"] == [{"dataset": "silver.shop.facts", "job": "facts"}]


def test_the_same_change_is_asked_once(changed):
    changed.run(b'{"id":5,"x":8}\n{"id":6,"x":9}\n{"id":7}\n{"id":8}\n')
    [change] = changed.changes()
    assert (change["examples"], change["rows"]) == (["8", "9"], 2)


def test_an_accepted_type_is_the_tables_from_the_next_run_on(changed):
    [change] = changed.changes()
    decided = changed.decide(change, "accept")
    assert (decided["status"], decided["decided_by"]) == ("accepted", "engineer")
    assert changed.columns()["x"] == "timestamp"
    run = changed.run(NUMBERS.replace(b'"id":3', b'"id":5'))
    assert (run["quarantined_rows"], changed.columns()["x"]) == (0, "string")
    assert run["schema_changes"] == [{"column": "x", "change": "widened", "old": "timestamp", "new": "string"}]
    assert changed.changes() == []


def test_what_was_refused_is_not_asked_again_until_it_changes_again(changed):
    [change] = changed.changes()
    changed.decide(change, "refuse")
    assert changed.run(NUMBERS.replace(b'"id":3', b'"id":5'))["quarantined_rows"] == 1
    assert changed.changes() == []
    changed.run(b'{"id":7,"x":"2026-01-02T03:04:07"}\n{"id":8,"x":true}\n')
    [change] = changed.changes()
    assert (change["old"], change["new"]) == ("timestamp", "boolean")


def test_what_was_decided_cannot_be_decided_again(changed):
    [change] = changed.changes()
    changed.decide(change, "accept")
    answer = changed.decide(change, "refuse", status=409)
    assert answer["errors"][0]["code"] == "not_possible"


def test_a_run_that_fails_asks_as_well(orders):
    orders.make(FIRST, format="ndjson", error_handling="fail", quarantine_path=None)
    orders.run()
    run = orders.run(b'{"id":3,"x":7}\n')
    assert (run["status"], run["error"]["code"]) == ("failed", "bad_rows")
    assert "x: “7” is no timestamp" in run["error"]["message"]
    assert "decide on the job's page" in run["error"]["hint"]
    [change] = orders.changes()
    assert (change["column"], change["old"], change["new"], change["run"]) == ("x", "timestamp", "int64", run["id"])


DECLARED = [{"name": "id", "type": "int64"}, {"name": "customer_name", "type": "string"}]


def test_a_new_column_of_a_declared_schema_is_left_out_until_it_is_accepted(orders):
    orders.make(b"id,customer_name\n1,A\n", schema_mode="user", user_schema=DECLARED)
    orders.run()
    run = orders.run(b"id,customer_name,note\n2,B,hello\n")
    assert (run["status"], run["rows_written"], list(orders.columns())) == ("success", 1, ["id", "customer_name"])
    [change] = orders.changes()
    assert (change["column"], change["change"], change["new"], change["examples"]) == (
        "note", "added", "string", ["hello"],
    )  # fmt: skip
    orders.decide(change, "accept")
    orders.run(b"id,customer_name,note\n3,C,again\n")
    assert orders.columns() == {"id": "int64", "customer_name": "string", "note": "string"}
    assert orders.changes() == []


@pytest.mark.parametrize("schema_mode", ["infer", "user"])
def test_a_renamed_column_is_suggested_and_mapped(orders, schema_mode):
    fields = {"schema_mode": "user", "user_schema": DECLARED} if schema_mode == "user" else {}
    orders.make(b"id,customer_name\n1,A\n", **fields)
    orders.run()
    run = orders.run(b"id,cust_name\n2,B\n")
    assert run["status"] == ("failed" if schema_mode == "user" else "success")
    [change] = orders.changes()
    assert (change["column"], change["change"], change["new"]) == ("customer_name", "missing", "cust_name")
    assert orders.decide(change, "map", {"column": "cust_name"})["mapped_to"] == "cust_name"
    assert orders.run(b"id,cust_name\n3,C\n")["status"] == "success"
    job = IngestJob.objects.get()
    assert job.column_mapping == {"cust_name": "customer_name"}
    told = {(one.history_user.username, one.history_change_reason) for one in job.history.all()}
    assert ("engineer", "cust_name: mapped to customer_name") in told


def test_a_column_that_went_is_let_go_of(orders):
    required = [DECLARED[0], {**DECLARED[1], "nullable": False}]
    orders.make(b"id,customer_name\n1,A\n", schema_mode="user", user_schema=required)
    orders.run()
    assert orders.run(b"id\n2\n")["status"] == "failed"
    [change] = orders.changes()
    assert change["if_accepted"] == (
        "The source may do without customer_name. The table keeps the column; it is null in new rows."
    )
    orders.decide(change, "accept")
    assert orders.run(b"id\n3\n")["status"] == "success"
    assert orders.changes() == []


def test_the_schema_history_names_each_change_and_the_dataset_the_run_that_made_it(orders, client, engineer):
    orders.make(b"id,x\n1,1\n")
    orders.run()
    run = orders.run(b"id,x,note\n2,1.5,new\n")
    client.force_login(engineer)
    page = client.get("/workflows/shop/ingest-jobs/orders/schema-history/").content.decode()
    for part in ("int64", "float64", "widened", "note", "added", "string"):
        assert part in page
    before, after = [one.columns for one in Dataset.objects.get(name="bronze.shop.orders").history.all()[:2]][::-1]
    assert [column["type"] for column in before if column["name"] == "x"] == ["int64"]
    assert [column["type"] for column in after if column["name"] == "x"] == ["float64"]
    latest = Dataset.objects.get(name="bronze.shop.orders").history.first()
    assert latest.history_change_reason == f"run {run['id']}"


def test_the_page_shows_the_difference_and_takes_the_decision(changed, client, engineer):
    client.force_login(engineer)
    address = "/workflows/shop/ingest-jobs/orders/contract-changes/"
    page = client.get(address).content.decode()
    for part in ("timestamp", "int64", "<code>7</code>", "becomes string", "Accept", "Refuse"):
        assert part in page
    change = ContractChange.objects.get()
    decided = client.post(f"{address}{change.pk}/", {"decision": "refuse"}).content.decode()
    assert "Nothing waits for a decision" in decided
    assert "engineer" in decided
    again = client.post(f"{address}{change.pk}/", {"decision": "map", "column": ""}).content.decode()
    assert "Name the other column" in again


def test_deciding_asks_for_the_permission(changed, client, django_user_model):
    client.force_login(django_user_model.objects.create_user("viewer", password="secret"))
    address = f"/workflows/shop/ingest-jobs/orders/contract-changes/{ContractChange.objects.get().pk}/"
    assert client.post(address, {"decision": "accept"}).status_code == 403
    assert client.get("/workflows/shop/ingest-jobs/orders/contract-changes/").status_code == 200
    changed.api.force_authenticate(django_user_model.objects.get(username="viewer"))
    [change] = changed.changes()
    assert changed.decide(change, "accept", status=403)["errors"][0]["code"] == "permission_denied"
    assert ContractChange.objects.get().status == "pending"
