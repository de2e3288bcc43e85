"""Jobs of each template in the admin: JSON as it is, refused in words that name the place in it."""

import json

import pytest

from datasets.models import DatasetJob
from tests.datasets.test_template_forms import CONFIGS, shop  # noqa: F401  (fixture)

pytestmark = pytest.mark.django_db
ADD = "/admin/datasets/datasetjob/add/"


@pytest.fixture
def admin(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root", password="correct-horse"))
    return client


def _fields(workflow, template, **changes):
    from datasets.forms.cards import CARDS
    from datasets.transforms import TRANSFORMS

    reads, config = CONFIGS[template]
    transform = TRANSFORMS[template]
    inputs = [{"dataset": f"bronze.shop.{name}", "alias": name} for name in reads]
    fields = {
        "workflow": workflow.pk,
        "layer": transform.layers[0],
        "name": "made",
        "dataset_type": CARDS[template].dataset_type,
        "inputs": json.dumps(inputs),
        "transform_type": template,
        "config": json.dumps(config),
        "engine": "default",
        "refresh_mode": transform.refresh_modes[0],
        "partition_by": json.dumps(["snapshot_date"] if template == "snapshot" else []),
        "format": "parquet",
        "compression": "zstd",
        "enabled": "on",
        **dict.fromkeys(("target_schema", "merge_keys", "data_quality"), "[]"),
    }
    return {**fields, **changes}


@pytest.mark.parametrize("template", CONFIGS)
def test_a_job_of_each_template_is_added_and_changed(admin, shop, template):  # noqa: F811
    answer = admin.post(ADD, _fields(shop, template))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    job = DatasetJob.objects.get()
    assert job.config == CONFIGS[template][1]
    page = f"/admin/datasets/datasetjob/{job.pk}/change/"
    assert admin.get(page).status_code == 200
    answer = admin.post(page, {**_fields(shop, template), "description": "changed"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    job.refresh_from_db()
    assert job.description == "changed"


WRONG = [
    ("scd2_dimension", {"business_key_columns": []}, "business_key_columns: At least one is needed."),
    ("conform_sources", {"sources": []}, "sources: At least one is needed."),
    ("vector_index", {"chunk_size": 3}, "chunk_size: Must be greater than or equal to 10"),
    ("export_feed", {"fromat": "csv"}, "fromat: There is no option “fromat”. Known are"),
]


@pytest.mark.parametrize(("template", "changes", "words"), WRONG, ids=[template for template, _, _ in WRONG])
def test_what_is_wrong_with_a_config_is_told_with_its_place(admin, shop, template, changes, words):  # noqa: F811
    config = {**CONFIGS[template][1], **changes}
    answer = admin.post(ADD, _fields(shop, template, config=json.dumps(config)))
    assert answer.status_code == 200
    assert words in " ".join(answer.context["adminform"].form.errors["config"])
