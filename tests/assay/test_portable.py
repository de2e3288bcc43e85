"""A workflow as a file: what is exported can be applied anywhere, again and again."""

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.portable import Change, InvalidFile, apply, export_workflow
from catalog.models import Dataset
from datasets.models import DatasetJob
from ingest.models import IngestJob
from ops.models import Workflow

pytestmark = pytest.mark.django_db

SHOP = """
slug: shop
name: Shop
schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}
ingest_jobs:
  - name: orders
    source_type: file_local
    config: {file: {path: "/inbox/orders-*.csv"}}
    schema_mode: user
    user_schema:
      - {name: order_id, type: int64, nullable: false}
      - {name: amount, type: "decimal(10,2)"}
      - {name: ordered_on, type: date}
    error_handling: quarantine
gold_jobs:
  - name: daily_revenue
    dataset_type: metric_table
    transform_type: metrics_aggregate
    inputs: [{dataset: silver.shop.orders_fact, alias: orders}]
    config:
      base: orders
      time_column: ordered_on
      time_grain: day
      metrics: [{name: revenue, expression: sum(amount)}]
silver_jobs:
  - name: big_orders
    dataset_type: fact
    inputs: [{dataset: silver.shop.orders_fact}]
    sql_text: select * from orders_fact where amount > 100
  - name: orders_fact
    dataset_type: fact
    inputs: [{dataset: bronze.shop.orders, alias: orders}]
    sql_text: |
      select order_id, amount, ordered_on
      from orders
"""


def what(actions):
    return {(action.section, action.name): action.what for action in actions}


def faults(text):
    with pytest.raises(InvalidFile) as refused:
        apply(text)
    return {problem.attr: problem.code for problem in refused.value.problems}


def test_a_file_makes_the_workflow_and_its_jobs_in_the_order_of_their_needs():
    assert what(apply(SHOP)) == {
        ("workflow", "shop"): "create",
        ("ingest_jobs", "orders"): "create",
        ("silver_jobs", "big_orders"): "create",
        ("silver_jobs", "orders_fact"): "create",
        ("gold_jobs", "daily_revenue"): "create",
    }
    shop = Workflow.objects.get()
    assert (shop.schedule_cron, shop.schedule_timezone, shop.schedule_enabled) == ("0 6 * * *", "Europe/Berlin", True)
    job = IngestJob.objects.get()
    assert (job.quarantine_path, job.write_mode) == ("quarantine/shop/orders", "overwrite")
    assert [column["name"] for column in DatasetJob.objects.get(name="orders_fact").target_schema] == [
        "order_id",
        "amount",
        "ordered_on",
    ]
    assert Dataset.objects.get(name="gold.shop.daily_revenue").upstream.get().name == "silver.shop.orders_fact"


def test_applying_again_changes_nothing():
    apply(SHOP)
    histories = [model.history.count() for model in (Workflow, IngestJob, DatasetJob)]
    assert set(what(apply(SHOP)).values()) == {"nothing"}
    assert [model.history.count() for model in (Workflow, IngestJob, DatasetJob)] == histories


def test_what_is_exported_is_what_was_applied_and_exports_the_same():
    apply(SHOP)
    text = export_workflow(Workflow.objects.get())
    assert set(what(apply(text)).values()) == {"nothing"}
    Workflow.objects.get().delete()
    Dataset.objects.all().delete()
    apply(text)
    assert export_workflow(Workflow.objects.get()) == text


def test_an_export_leaves_defaults_out_and_keeps_sql_readable():
    apply(SHOP)
    text = export_workflow(Workflow.objects.get())
    assert "sql_text: |-\n" in text
    assert "bad_row_threshold" not in text
    assert "updated_at" not in text


def test_a_change_is_told_field_by_field():
    apply(SHOP)
    changed = SHOP.replace("amount > 100", "amount > 200").replace(
        'path: "/inbox/orders-*.csv"', 'path: "/inbox/o.csv", csv: {delimiter: ";"}'
    )
    actions = {action.name: action for action in apply(changed)}
    assert actions["orders"].changes == (
        Change("config.file.path", "/inbox/orders-*.csv", "/inbox/o.csv"),
        Change("config.file.csv", None, {"delimiter": ";"}),
    )
    assert [change.field for change in actions["big_orders"].changes] == ["sql_text"]
    assert actions["orders_fact"].what == "nothing"
    assert DatasetJob.objects.get(name="big_orders").sql_text.endswith("200")


def test_what_a_file_no_longer_says_goes_back_to_its_default():
    apply(SHOP)
    apply(
        SHOP.replace("    error_handling: quarantine\n", "").replace(
            'schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}\n', ""
        )
    )
    job, shop = IngestJob.objects.get(), Workflow.objects.get()
    assert (job.error_handling, job.quarantine_path) == ("fail", None)
    assert (shop.schedule_cron, shop.schedule_timezone, shop.schedule_enabled) == ("", "UTC", False)


def test_a_watermark_is_no_part_of_a_definition():
    incremental = SHOP.replace(
        "error_handling: quarantine", "incremental_mode: incremental\n    watermark_column: ordered_on"
    )
    apply(incremental)
    IngestJob.objects.update(last_watermark_value="2026-11-01")
    assert set(what(apply(incremental)).values()) == {"nothing"}
    assert IngestJob.objects.get().last_watermark_value == "2026-11-01"
    assert "2026-11-01" not in export_workflow(Workflow.objects.get())


def test_jobs_that_the_file_does_not_name_stay():
    apply(SHOP)
    DatasetJob.objects.create(workflow=Workflow.objects.get(), layer="gold", name="other", dataset_type="mart")
    apply(SHOP)
    assert DatasetJob.objects.filter(name="other").exists()


def test_a_dry_run_tells_the_plan_and_changes_nothing():
    assert what(apply(SHOP, dry_run=True))[("ingest_jobs", "orders")] == "create"
    assert not Workflow.objects.exists()
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: Shop", "name: ''", {"name": "blank"}),
        ("name: Shop", "name: Shop\ncolour: red", {"colour": "unknown_field"}),
        ('cron: "0 6 * * *"', "cron: every morning", {"schedule.cron"}),
        ("source_type: file_local", "source_type: ftp", {"ingest_jobs.0.source_type": "invalid_choice"}),
        ("/inbox/", "/etc/", {"ingest_jobs.0.config.file.path": "outside_source_roots"}),
        ("type: int64", "type: uuid", {"ingest_jobs.0.user_schema.0.type": "unknown_type"}),
        ("from orders\n", "from order\n", {"silver_jobs.1.sql_text": "sql_rejected"}),
        ("sum(amount)", "sum(nothing)", {"gold_jobs.0.config.metrics.0.expression": "invalid_config"}),
        ("name: big_orders", "name: orders", {"silver_jobs.0.name": "unique"}),
        ("silver_jobs:", "silver_jobs: {}\nold_silver_jobs:", {"silver_jobs": "wrong_type"}),
        (
            "[{dataset: bronze.shop.orders, alias: orders}]",
            "[{dataset: bronze.shop.sales}]",
            {"silver_jobs.1.inputs.0.dataset": "unknown_dataset"},
        ),
        ("slug: shop", "slug: shop\nslug: shop2", {"": "parse_error"}),
        ("slug: shop", "- slug: shop", {"": "parse_error"}),
    ],
)
def test_an_invalid_part_is_told_at_its_path_and_nothing_at_all_is_changed(old, new, expected):
    apply("slug: before\nname: Before\n")
    found = faults(SHOP.replace(old, new))
    assert set(found) == set(expected)
    assert not isinstance(expected, dict) or found == expected
    assert list(Workflow.objects.values_list("slug", flat=True)) == ["before"]
    assert not IngestJob.objects.exists()
    assert not Dataset.objects.exists()


def test_an_upload_that_is_not_here_is_refused_with_its_id():
    text = SHOP.replace("file_local", "file_upload").replace('path: "/inbox/orders-*.csv"', "upload: 0190-nothing")
    assert faults(text) == {"ingest_jobs.0.config.file.upload": "unknown_upload"}


def test_jobs_that_read_each_other_are_refused():
    apply(SHOP)
    circle = SHOP.replace(
        "inputs: [{dataset: bronze.shop.orders, alias: orders}]",
        "inputs: [{dataset: silver.shop.big_orders, alias: orders}]",
    )
    assert "cycle" in faults(circle).values()
    assert Dataset.objects.get(name="silver.shop.orders_fact").upstream.get().name == "bronze.shop.orders"


# --- the commands ------------------------------------------------------------------------


def run(*arguments):
    out = StringIO()
    call_command(*arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_commands_write_a_file_and_take_it_back(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)
    printed = run("apply", str(file))
    assert "+ create  workflow shop\n" in printed
    assert "5 to create, 0 to change, 0 as they should be. Done." in printed
    assert "shop" in run("export_workflow", "shop", "--output", str(file))
    assert yaml.safe_load(file.read_text())["slug"] == "shop"
    assert run("export_workflow", "shop") == file.read_text()
    file.write_text(file.read_text().replace("amount > 100", "amount > 200"))
    printed = run("apply", str(file), "--dry-run")
    assert "~ change  silver job big_orders\n      sql_text: " in printed
    assert "dry run" in printed
    assert DatasetJob.objects.get(name="big_orders").sql_text.endswith("100")


def test_the_commands_end_with_an_error_that_says_where(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP.replace("/inbox/", "/etc/"))
    with pytest.raises(CommandError, match=r"ingest_jobs\.0\.config\.file\.path: “orders”"):
        run("apply", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        run("apply", str(tmp_path / "nothing.yaml"))
    with pytest.raises(CommandError, match="no workflow “nothing”"):
        run("export_workflow", "nothing")


@pytest.mark.parametrize("name", ["shop", "flights"])
def test_the_files_of_the_demo_can_be_applied_and_are_a_fixpoint(name, tmp_path):
    import assay.demo
    from assay.demo.connections import ensure_connections

    ensure_connections(tmp_path)
    apply((Path(assay.demo.__file__).parent / f"{name}.yaml").read_text())
    text = export_workflow(Workflow.objects.get())
    assert set(what(apply(text)).values()) == {"nothing"}
    assert export_workflow(Workflow.objects.get()) == text


# --- any job at all ------------------------------------------------------------------------

_names = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True).filter(lambda name: name not in ("new", "preview"))
_texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]) | st.sampled_from("\n'\": #-|>"), max_size=40)
_csv = st.fixed_dictionaries(
    {},
    optional={
        "delimiter": st.sampled_from([",", ";", "|", "\t"]),
        "has_header": st.booleans(),
        "null_values": st.lists(st.sampled_from(["", "NA", "null", "~", "yes", "1", "2026-01-01"]), max_size=3),
        "skip_rows": st.integers(0, 9),
    },
)
_columns = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["id", "Größe", "on", "null", "1", "a b", "12:30"]),
            "type": st.sampled_from(["int64", "date", "list<string>"]),
        },
        optional={"nullable": st.booleans()},
    ),
    max_size=4,
    unique_by=lambda column: column["name"],
)
_jobs = st.fixed_dictionaries(
    {
        "name": _names,
        "source_type": st.just("file_local"),
        "config": st.fixed_dictionaries(
            {"file": st.fixed_dictionaries({"path": st.just("/inbox/a.csv")}, optional={"csv": _csv})}
        ),
    },
    optional={
        "description": _texts.map(str.strip),
        "user_schema": _columns,
        "partition_mode": st.sampled_from(["date", "none"]),
        "compression": st.sampled_from(["snappy", "zstd", "none"]),
        "write_mode": st.sampled_from(["append", "overwrite"]),
        "error_handling": st.sampled_from(["fail", "quarantine"]),
        "bad_row_threshold": st.floats(0, 1),
        "enabled": st.booleans(),
        "is_reference": st.booleans(),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(_jobs, max_size=4, unique_by=lambda job: job["name"]), description=_texts.map(str.strip))
def test_exporting_applying_and_exporting_gives_the_same_file(jobs, description):
    Workflow.objects.all().delete()
    written = yaml.safe_dump({"slug": "any", "name": "Any", "description": description, "ingest_jobs": jobs})
    apply(written)
    text = export_workflow(Workflow.objects.get())
    assert set(what(apply(text)).values()) == {"nothing"}
    Workflow.objects.all().delete()
    apply(text)
    assert export_workflow(Workflow.objects.get()) == text
    assert set(what(apply(written)).values()) == {"nothing"}
