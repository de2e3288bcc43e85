"""The form of each template: made from its options, and what stands in it goes out as it came in."""

from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Group, Permission

from assay.common.option_kinds import kind_of_model
from catalog.models import Dataset
from datasets.forms.cards import CARDS
from datasets.models import DatasetJob
from datasets.transforms import TRANSFORMS
from tests.factories import make_connection, make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db

TABLES = {
    "orders": {
        "order_id": "int64",
        "customer_id": "int64",
        "amount": "decimal(18,2)",
        "status": "string",
        "ordered_at": "timestamptz",
        "_ingested_at": "timestamptz",
    },
    "customers": {
        "customer_id": "int64",
        "email": "string",
        "city": "string",
        "changed_at": "timestamptz",
        "gone": "boolean",
    },
    "people": {"no": "int64", "mail": "string", "town": "string", "seen": "timestamptz"},
    "history": {
        "customer_id": "int64",
        "city": "string",
        "effective_from": "timestamptz",
        "effective_to": "timestamptz",
        "is_current": "boolean",
    },
    "articles": {"id": "int64", "body": "string", "lang": "string"},
}
ENTITY = {"alias": "customers", "key_columns": ["customer_id"], "as_of_column": "changed_at"}
FEATURES = [
    {"alias": "orders", "columns": ["amount", "status"], "time_column": "ordered_at", "ttl": "90 days"},
    {"alias": "history", "columns": ["city"], "time_column": "effective_from", "prefix": "home_"},
]
CONFIGS = {
    "scd2_dimension": (
        ["customers"],
        {
            "business_key_columns": ["customer_id"],
            "change_detection_columns": ["email", "city"],
            "effective_time_column": "changed_at",
            "delete_mode": "close",
            "deleted_column": "gone",
        },
    ),
    "conform_sources": (
        ["customers", "people"],
        {
            "sources": [
                {
                    "alias": "customers",
                    "source_system": "shop",
                    "priority": 1,
                    "mappings": {"email": "lower(email)", "city": "city", "at": "changed_at"},
                },
                {
                    "alias": "people",
                    "source_system": "crm, old",
                    "priority": 2,
                    "mappings": {"email": "lower(\n  mail\n)", "city": "coalesce(town, 'Bern')", "at": "seen"},
                },
            ],
            "key_columns": ["email"],
            "conflict_resolution": "latest",
            "updated_at_column": "at",
            "column_rules": {"city": {"resolution": "source_priority", "order": ["crm, old", "shop"]}},
            "fill_nulls": True,
        },
    ),
    "metrics_aggregate": (
        ["orders"],
        {
            "base": "orders",
            "time_column": "ordered_at",
            "time_grain": "month",
            "dimensions": ["status"],
            "metrics": [
                {"name": "revenue", "expression": "sum(amount)", "filter": "status = 'paid'"},
                {"name": "orders", "expression": "count(*)"},
                {"name": "mean", "numerator": "revenue", "denominator": "orders"},
            ],
            "fill_gaps": True,
        },
    ),
    "snapshot": (
        ["history"],
        {
            "base": "history",
            "as_of": {"start_date": "2026-01-01", "end_date": "2026-02-01"},
            "grain": "week",
            "effective_from_column": "effective_from",
            "effective_to_column": "effective_to",
            "key_columns": ["customer_id"],
            "retention": {"keep": 30},
        },
    ),
    "ml_training_set": (
        ["customers", "orders", "history"],
        {
            "entity": ENTITY,
            "features": FEATURES,
            "label": {
                "alias": "orders",
                "expression": "count(*) = 0",
                "window": "30 days",
                "time_column": "ordered_at",
                "name": "is_lost",
            },
            "split": {"train": 0.7, "validation": 0.2, "test": 0.1, "seed": 7},
        },
    ),
    "feature_set": (["customers", "orders", "history"], {"entity": ENTITY, "features": FEATURES}),
    "vector_index": (
        ["articles"],
        {
            "id_column": "id",
            "text_column": "body",
            "metadata_columns": ["lang"],
            "chunk_size": 120,
            "chunk_overlap": 0,
            "embedding_model": "embedded:hash",
        },
    ),
    "export_feed": (
        ["orders"],
        {"format": "ndjson", "destination": "exports/crm", "file_name": "orders.ndjson"},
    ),
}


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def shop():
    workflow = make_workflow()
    for name, columns in TABLES.items():
        make_ingest_job(workflow, name)
        known = [{"name": column, "type": kind, "nullable": True} for column, kind in columns.items()]
        Dataset.objects.filter(name=f"bronze.shop.{name}").update(columns=known)
    return workflow


class Fields(HTMLParser):
    """What a browser would send of the form with the id `job-form`; what stands in a <template> is no part of it."""

    def __init__(self, text):
        super().__init__()
        self.sent, self.names = [], set()
        self.depth, self.is_inside, self.select, self.area = 0, False, None, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        if tag == "form":
            self.is_inside = facts.get("id") == "job-form"
        self.depth += tag == "template"
        if self.depth or not self.is_inside or "disabled" in facts:
            return
        name = facts.get("name")
        if name:
            self.names.add(name)
        if tag == "input" and name:
            is_box = facts.get("type") in ("checkbox", "radio")
            if not is_box or "checked" in facts:
                self.sent.append((name, facts.get("value", "on" if is_box else "")))
        elif tag == "select":
            self.select = (name, [])
        elif tag == "option" and self.select:
            self.select[1].append((facts.get("value", ""), "selected" in facts))
        elif tag == "textarea":
            self.area = (name, [])

    def handle_data(self, data):
        if self.area:
            self.area[1].append(data)

    def handle_endtag(self, tag):
        self.depth -= tag == "template"
        if tag == "select" and self.select:
            name, options = self.select
            chosen = [value for value, is_chosen in options if is_chosen] or [value for value, _ in options[:1]]
            self.sent += [(name, value) for value in chosen[-1:]]
            self.select = None
        if tag == "textarea" and self.area:
            # A browser leaves out the first line break, and sends all others as CR and LF.
            text = "".join(self.area[1]).removeprefix("\n").replace("\n", "\r\n")
            self.sent.append((self.area[0], text))
            self.area = None
        if tag == "form":
            self.is_inside = False

    @property
    def posted(self):
        found = {}
        for name, value in self.sent:
            found.setdefault(name, []).append(value)
        return found


def _job(workflow, template, config, reads):
    transform = TRANSFORMS[template]
    return DatasetJob.objects.create(
        workflow=workflow,
        name="made",
        layer=transform.layers[0],
        dataset_type=CARDS[template].dataset_type,
        inputs=[{"dataset": f"bronze.shop.{name}", "alias": name} for name in reads],
        transform_type=template,
        config=config,
        refresh_mode=transform.refresh_modes[0],
        partition_by=["snapshot_date"] if template == "snapshot" else [],
    )


def _edit(job):
    return f"/workflows/shop/{job.layer}-jobs/made/edit/"


def test_every_template_has_a_card_and_a_rich_example_here():
    assert set(CARDS) == set(TRANSFORMS)
    assert set(CONFIGS) == set(TRANSFORMS) - {"sql"}


@pytest.mark.parametrize("template", CONFIGS)
def test_a_job_that_is_opened_and_saved_keeps_its_config(page, shop, template):
    reads, config = CONFIGS[template]
    job = _job(shop, template, config, reads)
    form = Fields(page.get(_edit(job)).content.decode())
    answer = page.post(_edit(job), {**form.posted, "description": "saved by the form"})
    assert answer.status_code == 302, answer.context["told"]
    job.refresh_from_db()
    assert job.description == "saved by the form"
    assert job.config == config
    assert [given["alias"] for given in job.inputs] == reads


@pytest.mark.parametrize("template", CONFIGS)
def test_a_job_that_the_form_makes_says_only_what_was_filled_in(page, shop, template):
    """The same fields, filled into the form of a new job: what was left at its default is not stored."""
    reads, config = CONFIGS[template]
    job = _job(shop, template, config, reads)
    posted = Fields(page.get(_edit(job)).content.decode()).posted
    job.delete()
    answer = page.post(f"/workflows/shop/{job.layer}-jobs/new/", {**posted, "name": "made"})
    assert answer.status_code == 302, answer.context["told"]
    made = DatasetJob.objects.get()
    options = TRANSFORMS[template].options
    assert options.model_validate(made.config) == options.model_validate(config)
    assert set(made.config) <= set(config)


@pytest.mark.parametrize("template", CONFIGS)
def test_every_option_that_a_template_declares_has_a_field(page, shop, template):
    layer = TRANSFORMS[template].layers[0]
    text = page.get(f"/workflows/shop/{layer}-jobs/new/").content.decode()
    names = Fields(text).names | set(Fields(text.replace("<template", "<div").replace("</template", "</div")).names)
    for option in kind_of_model(TRANSFORMS[template].options).fields:
        assert [name for name in names if name.startswith(f"{template}.{option.name}")], option.name


@pytest.mark.parametrize("template", CONFIGS)
def test_the_check_tells_what_it_makes_and_shows_its_columns_and_sql(page, shop, template):
    reads, config = CONFIGS[template]
    job = _job(shop, template, config, reads)
    posted = Fields(page.get(_edit(job)).content.decode()).posted
    text = page.post(f"/workflows/shop/{job.layer}-form/check/?job=made", posted).content.decode()
    assert "This can be saved." in text
    assert "It makes" in text
    assert "Each run" in text
    assert 'name="column_name"' in text
    assert not DatasetJob.objects.exclude(pk=job.pk).exists()


FAULTS = [
    ("conform_sources", "conform_sources.sources.1.alias", "nobody", "Sources · source 2 · Input", "no input “nobody”"),
    ("scd2_dimension", "scd2_dimension.effective_time_column", "when", "Time of a change", "no column “when”"),
    ("vector_index", "vector_index.chunk_size", "5", "Chunk size", "greater than or equal to 10"),
    ("vector_index", "vector_index.chunk_size", "many", "Chunk size", "valid integer"),
    ("ml_training_set", "ml_training_set.split.train", "0.9", "Split", "add up to 1"),
    ("ml_training_set", "ml_training_set.features.1.columns", "", "Features · feature 2 · Columns", "This is needed."),
]


@pytest.mark.parametrize(
    ("template", "field", "value", "label", "words"), FAULTS, ids=[f"{one[1]}={one[2]}" for one in FAULTS]
)
def test_a_fault_stands_at_its_very_field_and_on_top(page, shop, template, field, value, label, words):
    reads, config = CONFIGS[template]
    job = _job(shop, template, config, reads)
    posted = {**Fields(page.get(_edit(job)).content.decode()).posted, field: value}
    told = page.post(_edit(job), posted).context["told"]
    assert [one for one in told if one["label"] == label and words in one["text"]], told
    check = page.post(f"/workflows/shop/{job.layer}-form/check/?job=made", posted)
    places = {fault["place"] for fault in check.context["faults"] if words in fault["text"]}
    assert places & {field, field.rpartition(".")[0]}


@pytest.fixture
def builder(client, django_user_model):
    """Somebody who may make and change jobs, and belongs to no group."""
    person = django_user_model.objects.create_user("ada", password="secret")
    person.user_permissions.set(Permission.objects.filter(content_type__app_label="datasets"))
    client.force_login(person)
    return client


def test_a_connection_that_one_may_not_use_is_not_offered_and_is_refused_at_its_field(builder, shop):
    make_connection("bucket", "s3").groups.add(Group.objects.create(name="finance"))
    reads, config = CONFIGS["export_feed"]
    job = _job(shop, "export_feed", config, reads)
    text = builder.get(_edit(job)).content.decode()
    assert "bucket ·" not in text
    posted = Fields(text).posted
    posted |= {"export_feed.destination": "s3://feeds/shop", "export_feed.connection": "bucket"}
    told = builder.post(_edit(job), posted).context["told"]
    assert [(one["label"], one["text"][:40]) for one in told] == [
        ("Connection", "You may not use the connection “bucket”."),
    ]
    preview = builder.post("/workflows/shop/gold-jobs/preview/?job=made", posted).content.decode()
    assert "You may not use the connection" in preview


def test_rows_may_be_taken_out_and_added_in_any_order(page, shop):
    """The numbers of rows have gaps then; their order is that of the fields."""
    reads, config = CONFIGS["conform_sources"]
    job = _job(shop, "conform_sources", config, reads)
    posted = Fields(page.get(_edit(job)).content.decode()).posted
    posted = {name: value for name, value in posted.items() if ".mappings.1." not in name}
    beginning = "conform_sources.sources.0.mappings.9"
    posted |= {f"{beginning}.key": "city", f"{beginning}.value": "upper(city)"}
    posted |= {"conform_sources.sources.1.mappings.5.key": "city", "conform_sources.sources.1.mappings.5.value": "town"}
    assert page.post(_edit(job), posted).status_code == 302
    job.refresh_from_db()
    assert [list(source["mappings"].items()) for source in job.config["sources"]] == [
        [("email", "lower(email)"), ("at", "changed_at"), ("city", "upper(city)")],
        [("email", "lower(\n  mail\n)"), ("at", "seen"), ("city", "town")],
    ]


def test_what_was_typed_for_another_template_is_not_saved_and_not_lost(page, shop):
    reads, config = CONFIGS["scd2_dimension"]
    job = _job(shop, "scd2_dimension", config, reads)
    posted = Fields(page.get(_edit(job)).content.decode()).posted
    posted |= {"transform_type": "sql", "sql_text": "select nothing from customers"}
    text = page.post(_edit(job), posted).content.decode()
    assert dict(Fields(text).sent)["scd2_dimension.effective_time_column"] == "changed_at"
    posted["sql_text"] = "select * from customers"
    assert page.post(_edit(job), posted).status_code == 302
    job.refresh_from_db()
    assert (job.transform_type, job.config) == ("sql", {})


def test_merge_keys_are_kept_where_they_are_meant(page, shop):
    job = _job(shop, "sql", {}, ["orders"])
    posted = Fields(page.get(_edit(job)).content.decode()).posted | {"sql_text": "select * from orders"}
    posted |= {"refresh_mode": "merge", "merge_keys": "order_id", "dataset_type": "fact"}
    assert page.post(_edit(job), posted).status_code == 302
    job.refresh_from_db()
    assert (job.refresh_mode, job.merge_keys) == ("merge", ["order_id"])
    posted |= {"refresh_mode": "merge", "merge_keys": "nothing"}
    told = page.post(_edit(job), posted).context["told"]
    assert [one["label"] for one in told] == ["Merge by"]


def test_the_sentence_of_a_refresh_mode_follows_the_choice(page, shop):
    job = _job(shop, "sql", {}, ["orders"])
    posted = Fields(page.get(_edit(job)).content.decode()).posted | {"sql_text": "select * from orders"}
    posted |= {"dataset_type": "fact", "refresh_mode": "append"}
    text = page.post("/workflows/shop/silver-form/check/?job=made", posted).content.decode()
    assert "adds the result&#x27;s rows" in text
    posted |= {"refresh_mode": "merge", "merge_keys": "order_id"}
    text = page.post("/workflows/shop/silver-form/check/?job=made", posted).content.decode()
    assert "adds rows whose order_id is new" in text


def test_an_engine_that_cannot_run_the_query_says_why_and_the_others_what_they_run(page, shop):
    job = _job(shop, "sql", {}, ["orders"])
    frame = "rows between 1 preceding and 1 following"
    sql = f"select order_id, sum(amount) over (order by order_id {frame}) as around from orders"
    posted = Fields(page.get(_edit(job)).content.decode()).posted | {"sql_text": sql, "dataset_type": "fact"}
    answer = page.post("/workflows/shop/silver-form/check/?job=made", {**posted, "engine": "duckdb"})
    engines = {each["engine"]: each for each in answer.context["generated"]["engines"]}
    assert "rows between 1 preceding" in engines["duckdb"]["statement"].lower()
    assert engines["polars"]["error"]
    assert "block" in answer.content.decode()
    refused = page.post("/workflows/shop/silver-form/check/?job=made", {**posted, "engine": "polars"})
    assert [fault["place"] for fault in refused.context["faults"]] == ["sql_text"]
    assert "DuckDB" in refused.context["faults"][0]["text"] or "duckdb" in refused.context["faults"][0]["text"]


def test_a_form_that_nobody_has_filled_in_yet_is_told_what_it_needs_and_not_that_it_is_wrong(page, shop):
    posted = Fields(page.get("/workflows/shop/gold-jobs/new/").content.decode()).posted
    answer = page.post("/workflows/shop/gold-form/check/", {**posted, "transform_type": "ml_training_set"})
    assert answer.context["wrong"] == []
    labels = {fault["label"] for fault in answer.context["needed"]}
    assert {"Name", "Examples · Key columns", "Examples · Time of the example", "Label · Input"} <= labels
