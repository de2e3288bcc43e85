import pytest

from ops import services
from ops.models import PipelineRun, Workflow
from workers.errors import SourceMissing

pytestmark = pytest.mark.django_db

SHOP = "/api/workflows/shop/"


def errors_of(response) -> dict[str, str]:
    return {error["attr"]: error["code"] for error in response.json()["errors"]}


def test_a_workflow_is_made_with_its_schedule(api, engineer):
    schedule = {"cron": "0 6 * * 1-5", "timezone": "Europe/Berlin", "enabled": True}
    body = {"slug": "shop", "name": "Shop", "description": "Orders", "owner": "engineer", "schedule": schedule}
    response = api.post("/api/workflows/", body)
    assert response.status_code == 201, response.json()
    assert {name: api.get(SHOP).json()[name] for name in body} == body
    assert Workflow.objects.get().next_run_at is not None


def test_a_workflow_needs_no_schedule(api):
    response = api.post("/api/workflows/", {"slug": "shop", "name": "Shop"})
    assert response.json()["schedule"] == {"cron": "", "timezone": "UTC", "enabled": False}


def test_a_cron_line_alone_is_an_enabled_schedule_in_utc(api):
    response = api.post("/api/workflows/", {"slug": "shop", "name": "Shop", "schedule": {"cron": "@daily"}})
    assert response.json()["schedule"] == {"cron": "@daily", "timezone": "UTC", "enabled": True}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"schedule": {"cron": "often"}}, {"schedule.cron": "invalid_cron"}),
        ({"schedule": {"cron": "@daily", "timezone": "Mars"}}, {"schedule.timezone": "invalid_timezone"}),
        ({"schedule": {"enabled": True}}, {"schedule.cron": "required"}),
        ({"schedule": {"crone": "@daily"}}, {"schedule.crone": "unknown_field"}),
        ({"slug": "Shop!"}, {"slug": "invalid_slug"}),
        ({"colour": "red"}, {"colour": "unknown_field"}),
        ({"owner": "nobody"}, {"owner": "does_not_exist"}),
    ],
)
def test_what_is_wrong_with_a_workflow_is_named_at_its_field(api, body, expected):
    response = api.post("/api/workflows/", {"slug": "shop", "name": "Shop", **body})
    assert response.status_code == 400
    assert errors_of(response) == expected


def test_two_workflows_cannot_share_a_slug(api, workflow):
    assert errors_of(api.post("/api/workflows/", {"slug": "shop", "name": "Again"})) == {"slug": "unique"}


def test_a_slug_never_changes_and_the_rest_does(api, workflow):
    assert errors_of(api.patch(SHOP, {"slug": "other"})) == {"slug": "immutable"}
    assert api.patch(SHOP, {"slug": "shop", "name": "New"}).json()["name"] == "New"


def test_a_schedule_is_changed_in_part(api, workflow):
    api.patch(SHOP, {"schedule": {"cron": "@daily", "timezone": "Asia/Tokyo"}})
    api.patch(SHOP, {"schedule": {"enabled": False}})
    assert api.get(SHOP).json()["schedule"] == {"cron": "@daily", "timezone": "Asia/Tokyo", "enabled": False}


def test_who_is_not_logged_in_sees_nothing(client, workflow):
    assert client.get("/api/workflows/").status_code == 401
    assert client.post(f"{SHOP}run/").status_code == 401


def test_who_may_not_change_anything_cannot_start_a_run(client, workflow, diamond, django_user_model):
    client.force_login(django_user_model.objects.create_user("viewer"))
    assert client.get(SHOP).status_code == 200
    assert client.post(f"{SHOP}run/").status_code == 403
    assert not PipelineRun.objects.exists()


def test_a_run_answers_with_its_plan(api, workflow, diamond, engineer):
    response = api.post(f"{SHOP}run/", {"start_date": "2026-01-01", "end_date": "2026-01-31"})
    assert response.status_code == 200
    run = PipelineRun.objects.get()
    assert response.json() == {
        "pipeline_run_id": run.pk,
        "status": "running",
        "plan": [
            {"job": "a", "kind": "silver", "after": []},
            {"job": "b", "kind": "silver", "after": ["a"]},
            {"job": "c", "kind": "silver", "after": ["a"]},
            {"job": "d", "kind": "silver", "after": ["b", "c"]},
        ],
    }
    assert (run.trigger, run.started_by, str(run.end_date)) == ("api", engineer, "2026-01-31")


@pytest.mark.parametrize("body", [None, {}, {"only": None, "start_date": None, "end_date": None}])
def test_a_run_that_is_told_nothing_runs_everything(api, workflow, diamond, body):
    assert len(api.post(f"{SHOP}run/", body).json()["plan"]) == 4


def test_a_run_of_some_jobs(api, workflow, diamond):
    assert [step["job"] for step in api.post(f"{SHOP}run/", {"only": ["a", "c"]}).json()["plan"]] == ["a", "c"]


@pytest.mark.parametrize(
    ("jobs", "body", "code"),
    [
        ({"a": ["b"], "b": ["a"]}, {}, "cycle"),
        ({"a": ["nowhere"]}, {}, "missing_input"),
        ({}, {}, "no_jobs"),
        ({"a": []}, {"only": ["b"]}, "unknown_job"),
        ({"a": []}, {"start_date": "2026-02-01", "end_date": "2026-01-01"}, "invalid_window"),
        ({"a": []}, {"only": ["a"], "from_failed": True}, "invalid"),
        ({"a": []}, {"everything": True}, "unknown_field"),
    ],
)
def test_a_graph_that_is_not_sound_is_refused(api, workflow, add_job, jobs, body, code):
    for name, after in jobs.items():
        add_job(name, *after)
    response = api.post(f"{SHOP}run/", body)
    assert response.status_code == 400
    assert [error["code"] for error in response.json()["errors"]] == [code]
    assert not PipelineRun.objects.exists()


def test_a_pipeline_run_shows_each_of_its_jobs(api, workflow, diamond, kind):
    kind.script["a"] = lambda spec, progress: kind.result(7)

    def fail(spec, progress):
        raise SourceMissing("gone", hint="bring it back")

    kind.script["c"] = fail
    run = services.run_in_process(services.start_run(workflow))
    body = api.get(f"/api/pipeline-runs/{run.pk}/").json()
    assert (body["id"], body["workflow"], body["status"], body["trigger"]) == (run.pk, "shop", "failed", "manual")
    assert body["duration"] > 0
    assert body["error"]["hint"] == "bring it back"
    jobs = {job["job"]: job for job in body["jobs"]}
    assert {name: job["status"] for name, job in jobs.items()} == {
        "a": "success",
        "b": "success",
        "c": "failed",
        "d": "skipped",
    }
    assert (jobs["a"]["rows_read"], jobs["a"]["rows_written"], jobs["a"]["quarantined_rows"]) == (7, 7, 0)
    assert jobs["a"]["run_id"] == str(run.steps.get(job_name="a").run_id)
    assert jobs["d"]["run_id"] is None


def test_a_run_is_cancelled_and_then_retried(api, workflow, diamond):
    run_id = api.post(f"{SHOP}run/").json()["pipeline_run_id"]
    assert api.post(f"/api/pipeline-runs/{run_id}/cancel/").json()["status"] == "cancelled"
    again = api.post(f"/api/pipeline-runs/{run_id}/retry/").json()
    assert (again["retry_of"], again["trigger"], again["status"]) == (run_id, "retry", "running")
    assert len(again["jobs"]) == 4


def test_a_run_that_succeeded_cannot_be_retried(api, workflow, diamond):
    run = services.run_in_process(services.start_run(workflow))
    response = api.post(f"/api/pipeline-runs/{run.pk}/retry/")
    assert response.status_code == 409
    assert response.json()["errors"][0]["code"] == "nothing_to_retry"


def test_runs_are_listed_with_filters_and_without_a_query_for_each(
    api, workflow, diamond, add_job, django_assert_max_num_queries
):
    for _ in range(3):
        services.run_in_process(services.start_run(workflow))
    waiting = services.start_run(workflow)
    other = Workflow.objects.create(slug="other", name="Other")
    add_job("x", to=other)
    services.start_run(other)
    for address, count in [
        ("/api/pipeline-runs/", 5),
        ("/api/pipeline-runs/?workflow=shop", 4),
        ("/api/pipeline-runs/?workflow=shop&status=success", 3),
        ("/api/pipeline-runs/?status=success&status=running", 5),
        (f"{SHOP}pipeline-runs/", 4),
        (f"{SHOP}pipeline-runs/?status=running", 1),
    ]:
        with django_assert_max_num_queries(4):
            body = api.get(address).json()
        assert body["count"] == count, address
    assert body["results"][0]["id"] == waiting.pk


def test_workflows_are_listed_without_a_query_for_each(api, engineer, django_assert_max_num_queries):
    for number in range(5):
        Workflow.objects.create(slug=f"w{number}", name="W", owner=engineer)
    with django_assert_max_num_queries(2):
        assert api.get("/api/workflows/").json()["count"] == 5


def test_the_graph_is_there_even_when_it_could_not_run(api, workflow, add_job):
    add_job("a", "b")
    add_job("b", "a")
    body = api.get(f"{SHOP}graph/").json()
    assert {node["id"] for node in body["nodes"]} == {"silver.shop.a", "silver.shop.b"}
    assert {"source": "silver.shop.a", "target": "silver.shop.b"} in body["edges"]


def test_the_graph_shows_how_each_job_ended_last(api, workflow, add_job):
    add_job("a")
    assert {node["status"] for node in api.get(f"{SHOP}graph/").json()["nodes"]} == {None}
    services.run_in_process(services.start_run(workflow))
    assert {node["status"] for node in api.get(f"{SHOP}graph/").json()["nodes"]} == {"success"}


def test_history_tells_who_changed_what(api, client, engineer):
    client.force_login(engineer)
    client.post("/api/workflows/", {"slug": "shop", "name": "Shop"}, content_type="application/json")
    client.patch(SHOP, {"name": "The shop"}, content_type="application/json")
    newest, first = client.get(f"{SHOP}history/").json()["results"]
    assert newest["changes"] == [{"field": "name", "old": "Shop", "new": "The shop"}]
    assert (newest["by"], newest["version"], first["change"]) == ("engineer", 2, "created")


def test_a_workflow_with_a_run_that_goes_on_cannot_be_deleted(api, workflow, diamond):
    run = services.start_run(workflow)
    assert api.delete(SHOP).json()["errors"][0]["code"] == "workflow_is_running"
    services.cancel_run(run)
    assert api.delete(SHOP).status_code == 204


def test_the_openapi_document_is_made_without_a_warning(capsys):
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    with GENERATOR_STATS.silence():
        paths = SchemaGenerator().get_schema(public=True)["paths"]
    assert "/api/workflows/{slug}/run/" in paths
    assert not GENERATOR_STATS
