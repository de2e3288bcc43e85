"""The card of a training or feature set: what its last run tells of it, as facts and as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from assay.common.runs import RunStatus

from ..models import DatasetJob, DatasetRun

QUANTILES = ("min", "p10", "p50", "p90", "max", "mean")
TIMES = ("date", "timestamp", "timestamptz")
HUES = 6  # different colours of classes; the last is for all others
REASONS = {
    "never_known": "nothing known",
    "not_yet_known": "known only later",
    "expired": "too old",
    "ended": "ended",
    "null_in_input": "null in the input",
}
RULES = {
    "without_key": "without a key",
    "without_time": "without a time",
    "outside_window": "outside the run's dates",
    "not_yet_labelled": "not yet labelled: their window is not over",
    "without_label": "without a label",
    "purged": "purged: their label looks into the next part",
}


def latest_run(job: DatasetJob, user) -> DatasetRun | None:
    """The last run that told a card, as far as this person may see the job's runs."""
    runs = job.runs.visible_to(user).filter(status=RunStatus.SUCCESS, facts__has_key="card")
    return runs.select_related("repeat_of", "job__workflow").order_by("-created_at").first()


def card_of(run: DatasetRun) -> dict[str, Any]:
    """The card with what the control plane knows of the run; JSON."""
    job = run.job
    return {
        "dataset": job.dataset_name,
        "description": job.description,
        "grain": job.grain,
        "run_id": str(run.pk),
        "table_version": run.table_version,
        "created_at": run.created_at.isoformat(),
        "digest": run.facts["digest"],
        "repeat_of": str(run.repeat_of_id) if run.repeat_of_id else None,
        "rebuilt_the_same": rebuilt_the_same(run),
        **run.facts["card"],
    }


def rebuilt_the_same(run: DatasetRun) -> bool | None:
    """Whether a repetition has the bytes of the run that it repeats; None: it repeats none."""
    if not run.repeat_of or "digest" not in run.repeat_of.facts:
        return None
    return run.repeat_of.facts["digest"] == run.facts["digest"]


# --- for people ------------------------------------------------------------------------


def readable(card: Mapping[str, Any]) -> dict[str, Any]:
    """The card with its values as people write them: `2026-03-01`, `0.333333`, `true`."""
    label, split = card["label"], card["split"]
    return {
        **card,
        "entity": _with_words(card["entity"], ("from", "to"), _moment),
        "split": split and _with_words(split, ("validation_from", "test_from"), _moment),
        "label": label and {**label, **_readable_label(label)},
        "features": [_readable_feature(feature) for feature in card["features"]],
    }


def _readable_label(label: Mapping[str, Any]) -> dict[str, Any]:
    if label["kind"] == "number":
        return {"quantiles": [_with_words(part, QUANTILES, _written) for part in label["quantiles"]]}
    return {
        "balance": [
            {**part, "classes": [{**each, "value": _written(each["value"])} for each in part["classes"]]}
            for part in label["balance"]
        ]
    }


def _readable_feature(feature: Mapping[str, Any]) -> dict[str, Any]:
    words = _moment if feature["type"] in TIMES else _written
    told = _with_words(feature, ("min", "max", "mean"), words)
    return {**told, "top": [_with_words(each, ("value",), _written) for each in feature.get("top", ())]}


def _with_words(facts: Mapping[str, Any], names: tuple[str, ...], words: Callable[[Any], str]) -> dict[str, Any]:
    """The facts with those of these names that are known in words."""
    return {**facts, **{name: words(facts[name]) for name in names if facts.get(name) is not None}}


def _moment(text: str) -> str:
    """An ISO date or time; a day's first moment is the day."""
    day, _, time = text.partition("T")
    clock = time.removesuffix("+00:00")
    zone = " UTC" if clock != time else ""
    return f"{day} {clock}{zone}" if clock.strip("0:.") else day


def _written(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def features_for_page(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The features of a readable card, each with the segments of its bar: `{reason, words, rows, percent}`."""
    rows = card["rows"] or 1
    return [
        {
            **feature,
            "percent": round(100 * feature["null_share"], 1),
            "segments": [
                {"reason": reason, "words": REASONS[reason], "rows": count, "percent": f"{100 * count / rows:.2f}"}
                for reason, count in feature["missing"].items()
            ],
        }
        for feature in card["features"]
    ]


def balance_for_page(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts' classes of a readable card, each with its share and the hue that it has in all parts."""
    parts = (card.get("label") or {}).get("balance", [])
    hues = {str(each["value"]): min(n, HUES) for n, each in enumerate(parts[0]["classes"], 1)} if parts else {}
    return [
        {
            **part,
            "classes": [
                {**each, "percent": f"{100 * each['share']:.1f}", "hue": hues.get(str(each["value"]), HUES)}
                for each in part["classes"]
            ],
        }
        for part in parts
    ]


def dropped_for_page(card: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [(RULES.get(rule, rule), count) for rule, count in card["dropped"].items()]


# --- Markdown --------------------------------------------------------------------------


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card as a file that lies beside a model."""
    return "\n".join(_lines(readable(card))) + "\n"


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    entity = card["entity"]
    yield f"# {card['dataset']}, version {card['table_version']}"
    yield ""
    yield from filter(None, [card["description"], "" if not card["description"] else "\n"])
    keys = ", ".join(f"`{name}`" for name in entity["key_columns"])
    yield f"A {card['kind']} of {card['rows']:,} rows: {card['entities']:,} different {keys}, "
    yield f"`{entity['as_of_column']}` from {entity['from'] or '–'} to {entity['to'] or '–'}."
    yield f"Of {card['read']:,} rows of `{entity['alias']}` " + (_dropped(card) or "none was left out.")
    yield from _label_lines(card)
    yield from _split_lines(card)
    yield from _feature_lines(card)
    yield from ["", "## Leakage", "", f"{'Passed' if card['leakage']['passed'] else 'Failed'}: "]
    yield f"{card['leakage']['detail']}."
    yield from (f"- **Warning**: {_text(warning['text'])}" for warning in card["warnings"])
    yield from ["", "## Made from", "", "| input | dataset | version |", "| --- | --- | ---: |"]
    yield from (f"| {_text(each['alias'])} | {_text(each['dataset'])} | {each['version']} |" for each in card["inputs"])
    yield from ["", f"Run `{card['run_id']}` as of {card['run_time']}, on {card['engine']}."]
    yield f"SHA-256 of its files: `{card['digest']}`. The same run again gives the same bytes."


def _dropped(card: Mapping[str, Any]) -> str:
    told = [f"{count:,} {words}" for words, count in dropped_for_page(card)]
    return f"left out were: {'; '.join(told)}." if told else ""


def _label_lines(card: Mapping[str, Any]) -> Iterator[str]:
    if not (label := card["label"]):
        return
    yield from ["", "## Label", ""]
    ahead = f", within {label['window']} after `{card['entity']['as_of_column']}`" if label["window"] else ""
    yield f"`{label['name']}` ({label['type']}): `{label['definition']}` over `{label['alias']}`{ahead}."
    yield ""
    if label["kind"] == "number":
        yield f"| part | rows | {' | '.join(QUANTILES)} |"
        yield f"| --- | ---: |{' ---: |' * len(QUANTILES)}"
        for part in label["quantiles"]:
            yield f"| {part['split']} | {part['rows']:,} | {' | '.join(part.get(name) or '–' for name in QUANTILES)} |"
        return
    yield from ["| part | rows | classes |", "| --- | ---: | --- |"]
    for part in label["balance"]:
        classes = ", ".join(
            f"{_text(each['value'])}: {each['rows']:,} ({each['share']:.1%})" for each in part["classes"]
        )
        yield f"| {part['split']} | {part['rows']:,} | {classes} |"


def _split_lines(card: Mapping[str, Any]) -> Iterator[str]:
    if not (split := card["split"]):
        return
    rows = ", ".join(f"{name} {count:,}" for name, count in split["rows"].items())
    by = f"hash of {', '.join(split['key'])}, seed {split['seed']}"
    if split["method"] == "time":
        by = f"time: validation from {split['validation_from'] or '–'}, test from {split['test_from'] or '–'}"
        by += ", purged" if split.get("purge") else ""
        by += f", {split['gap']} apart" if split.get("gap") else ""
    yield from ["", "## Split", "", f"By {by}. Rows: {rows}."]


def _feature_lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield from [
        "",
        "## Features",
        "",
        "| feature | type | from | missing | values |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in card["features"]:
        origin = f"{each['alias']}.{each['column']}"
        origin += f" by {each['time_column']}" if each["time_column"] else ""
        origin += f", known at {each['knowledge_column']}" if each.get("knowledge_column") else ""
        origin += f", at most {each['ttl']} old" if each.get("ttl") else ""
        why = ", ".join(f"{REASONS[reason]} {count:,}" for reason, count in each["missing"].items())
        missing = f"{each['null_share']:.1%}" + (f" ({why})" if why else "")
        yield f"| {_text(each['name'])} | {each['type']} | {_text(origin)} | {missing} | {_text(_values(each))} |"


def _values(feature: Mapping[str, Any]) -> str:
    if top := feature.get("top"):
        return ", ".join(f"{each['value']} ({each['rows']:,})" for each in top)
    if feature.get("min") is None:
        return "–"
    mean = f", mean {feature['mean']}" if feature.get("mean") is not None else ""
    return f"{feature['min']} to {feature['max']}{mean}"


def _text(text: str) -> str:
    """Text that stays within its cell."""
    return text.replace("|", "\\|").replace("\n", " ")
