"""The parts of a job's form that are trees: the inputs, and the options of each template."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import Annotated, Any

from annotated_types import MinLen
from django import forms

from assay.common.column_fields import ColumnFields
from assay.common.option_kinds import kind_of, kind_of_model
from assay.common.option_nodes import Node, nodes_of, place_errors, rows_node, trail
from assay.common.option_posts import Reader, as_tree
from assay.common.problems import Problem, problems_in
from datasets.inputs import InputOptions
from datasets.transforms import TRANSFORMS
from ops.connections import services as connections

from .labels import WORDS

INPUTS = kind_of(Annotated[list[InputOptions], MinLen(1)])
TREES = ("config", "inputs")
MODELS = [
    ("embedded:minilm", "MiniLM, comes with Assay"),
    ("embedded:hash", "words without meaning, for trying out"),
]


class TreeField(forms.Field):
    """Stands for a tree that the template draws by itself: it makes the form invalid where the tree is."""

    widget = forms.MultipleHiddenInput

    def __init__(self, **kwargs) -> None:
        super().__init__(required=False, **kwargs)


class DeepFields(ColumnFields):
    """Mixin for the form: reads `inputs` and `config` from their fields, and shows what is wrong with them there.

    The fields of a template are called `TEMPLATE.path`; only those of the chosen one count.
    """

    @cached_property
    def readers(self) -> dict[str, Reader]:
        return {name: Reader() for name in (*TRANSFORMS, "inputs")}

    @cached_property
    def problems(self) -> list[tuple[str, Problem]]:
        """What the model refused, each with the name of the field that shows it; empty for none."""
        return []

    def read_inputs(self) -> list[dict[str, Any]]:
        tree = as_tree(self.data.items(), "inputs")
        return self.readers["inputs"].value(INPUTS, tree, "inputs", "inputs", self.stored["inputs"]) or []

    def read_config(self, template: str) -> dict[str, Any]:
        kind = kind_of_model(TRANSFORMS[template].options)
        tree = as_tree(self.data.items(), template)
        before = self.stored["config"] if template == self.stored["transform_type"] else {}
        return self.readers[template].object(kind, tree, template, "config", before)

    def _update_errors(self, errors) -> None:
        """Django's hook for what the model refused."""
        self.keep([*self._faults_of_names(), *problems_in(errors)])

    def keep(self, problems: list[Problem]) -> None:
        """Show problems at their fields."""
        for problem in problems:
            top = problem.attr.partition(".")[0]
            field = top if top in TREES else self._place_of(problem.attr)
            place = self._reader(top).place_of(problem.attr) if top in TREES else field
            self.problems.append((place or "", problem))
            detail = problem.detail if field else self._explained(problem.attr, problem.detail)
            if not (field and self.has_error(field) and field not in TREES):
                self.add_error(field, detail)

    def _faults_of_names(self) -> list[Problem]:
        return [Problem(path, text, "duplicate") for path, text in self._reader("config").faults]

    def _reader(self, top: str) -> Reader:
        return self.readers["inputs" if top == "inputs" else self.instance.transform_type or "sql"]

    # --- for the template -------------------------------------------------------------

    @cached_property
    def input_rows(self) -> Node:
        return rows_node(INPUTS, "inputs", self.instance.inputs or [{}], WORDS)

    @cached_property
    def templates(self) -> dict[str, Node]:
        """The tree of each template that this layer has; the chosen one holds the job's config."""
        chosen, found = self.instance.transform_type, {}
        for name, transform in TRANSFORMS.items():
            if self.layer in transform.layers and transform.options.model_fields:
                held = self.instance.config if name == chosen else self._left(name)
                found[name] = nodes_of(transform.options, name, held, WORDS)
        for node in (node for root in found.values() for node in root.walk()):
            if offered := self._offered(node.name):
                node.choices = [{"value": value, "label": label} for value, label in offered]
        return found

    def _offered(self, name: str) -> list[tuple[str, str]]:
        """Values to choose from where others may be typed as well."""
        if name == "export_feed.connection":
            return connections.choices_for(self.user, ("s3",))
        return MODELS if name == "vector_index.embedding_model" else []

    def _left(self, template: str) -> dict[str, Any]:
        """What was typed for a template before another was chosen."""
        return self.read_config(template) if self.is_bound else {}

    @cached_property
    def told(self) -> list[dict[str, str]]:
        """What is wrong: `[{attr, label, anchor, text}]`. Hangs it on the fields of the trees, too."""
        found = [_told("", "", "", text) for text in self.non_field_errors()]
        for field in self:
            if field.name not in TREES:
                found += [_told(field.name, field.label, field.id_for_label, text) for text in field.errors]
        roots = {"inputs": self.input_rows, "config": self.templates.get(self.instance.transform_type)}
        for top, root in roots.items():
            found += self._told_of(top, root) if self.has_error(top) else []
        return found

    def _told_of(self, top: str, root: Node | None) -> list[dict[str, str]]:
        by_path: dict[str, list[str]] = defaultdict(list)
        for _, problem in self.problems:
            if problem.attr.partition(".")[0] == top:
                by_path[problem.attr].append(problem.detail)
        if root is None:  # a template without options
            return [_told(path, "Options", "", text) for path, texts in by_path.items() for text in texts]
        placed = place_errors(root, by_path)
        return [_told(path, trail(root, node) or root.label, node.id, text) for node, path, text in placed]


def _told(attr: str, label: str, anchor: str, text: str) -> dict[str, str]:
    return {"attr": attr, "label": label, "anchor": anchor, "text": text}
