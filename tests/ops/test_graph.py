import pytest

from catalog.models import Dataset
from ops.graph import GraphError, build_plan, plan_job, workflow_graph
from ops.models import Workflow


def order_of(plan) -> list[str]:
    return [step.job.name for step in plan.steps]


def publish(name: str) -> None:
    layer, workflow, _ = name.split(".")
    Dataset.objects.update_or_create(
        name=name, defaults={"layer": layer, "workflow": workflow, "path": name, "version": 0}
    )


def refusal(*args) -> GraphError:
    with pytest.raises(GraphError) as caught:
        build_plan(*args)
    return caught.value


def test_steps_come_after_those_they_read_from(workflow, diamond):
    plan = build_plan(workflow)
    assert order_of(plan) == ["a", "b", "c", "d"]
    assert plan.as_list()[3] == {"job": "d", "kind": "silver", "after": ["b", "c"]}


def test_a_cycle_is_refused_and_named(workflow, add_job):
    add_job("a", "c")
    add_job("b", "a")
    add_job("c", "b")
    add_job("below", "c")
    error = refusal(workflow)
    assert error.code == "cycle"
    assert "a → b → c → a" in error.message


def test_a_job_that_reads_its_own_table_is_a_cycle(workflow, add_job):
    add_job("a", "a")
    assert "a → a" in refusal(workflow).message


def test_an_input_that_nothing_makes_is_refused_and_named(workflow, add_job):
    add_job("a", "nowhere")
    error = refusal(workflow)
    assert error.code == "missing_input"
    assert "a reads silver.shop.nowhere, which no job makes" in error.message


def test_an_input_that_was_published_before_counts_as_met(workflow, add_job):
    add_job("a", "elsewhere")
    publish("silver.shop.elsewhere")
    assert order_of(build_plan(workflow)) == ["a"]


def test_a_disabled_job_is_left_out_and_missed_unless_it_has_published(workflow, add_job):
    add_job("a", enabled=False)
    add_job("b", "a")
    error = refusal(workflow)
    assert error.code == "missing_input"
    assert "its job a is disabled" in error.message
    publish("silver.shop.a")
    assert order_of(build_plan(workflow)) == ["b"]


def test_only_takes_the_named_jobs_and_what_they_read_must_be_there(workflow, diamond):
    assert order_of(build_plan(workflow, ["a", "b"])) == ["a", "b"]
    assert refusal(workflow, ["d"]).code == "missing_input"
    publish("silver.shop.b")
    publish("silver.shop.c")
    assert order_of(build_plan(workflow, ["d"])) == ["d"]


def test_names_that_are_no_jobs_are_refused(workflow, diamond):
    error = refusal(workflow, ["a", "zebra"])
    assert error.code == "unknown_job"
    assert "zebra" in error.message


def test_a_workflow_without_jobs_cannot_run(workflow):
    assert refusal(workflow).code == "no_jobs"


def test_a_disabled_job_cannot_be_run_by_name(workflow, add_job):
    job = add_job("a", enabled=False)
    assert refusal(workflow, ["a"]).code == "no_jobs"
    with pytest.raises(GraphError):
        plan_job("silver", job)


def test_reference_sources_run_before_all_other_sources(workflow, add_job, kind, monkeypatch):
    add_job("countries")
    add_job("currencies")
    add_job("accounts")
    add_job("report", "accounts")
    references = {"countries", "currencies"}
    jobs = kind.jobs

    def marked(which):
        found = list(jobs(which))
        for job in found:
            job.is_reference = job.name in references
        return found

    monkeypatch.setattr(kind, "jobs", marked)
    plan = build_plan(workflow)
    assert order_of(plan) == ["countries", "currencies", "accounts", "report"]
    assert plan.steps[2].after == ("countries", "currencies")
    assert plan.steps[3].after == ("accounts",)


def test_the_drawing_has_sources_datasets_and_what_comes_from_outside(workflow, add_job):
    add_job("a")
    add_job("b", "a", "elsewhere")
    graph = workflow_graph(workflow)
    kinds = {node["id"]: (node["kind"], node["layer"], node["name"]) for node in graph["nodes"]}
    assert kinds == {
        "source.shop.a": ("silver", "source", "a"),
        "silver.shop.a": ("silver", "silver", "a"),
        "silver.shop.b": ("silver", "silver", "b"),
        "silver.shop.elsewhere": ("external", "silver", "silver.shop.elsewhere"),
    }
    assert {(edge["source"], edge["target"]) for edge in graph["edges"]} == {
        ("source.shop.a", "silver.shop.a"),
        ("silver.shop.a", "silver.shop.b"),
        ("silver.shop.elsewhere", "silver.shop.b"),
    }


def test_a_plan_takes_no_query_for_each_job(workflow, add_job, django_assert_max_num_queries):
    for number in range(30):
        add_job(f"job{number}")
    with django_assert_max_num_queries(3):
        build_plan(Workflow.objects.get(slug="shop"))
