"""What every API endpoint stands on: strict serializers, one policy, one form of error, pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, transaction
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions, filters, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from workers.errors import AssayError

from .problems import Problem, problems_in

# Of every list; `format` is the framework's.
LIST_PARAMETERS = frozenset({"page", "page_size", "format"})


class InvalidInput(exceptions.APIException):
    """400 with the problems, each at the path of its field."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{problem.attr}: {problem.detail}" for problem in problems))


@contextmanager
def made_once(field: str, told: str) -> Iterator[None]:
    """Around making a record of which validation saw no twin: somebody may have been quicker. Raises `InvalidInput`."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise InvalidInput([Problem(field, told, "unique")]) from error


class StrictFields:
    """Refuses unknown fields instead of ignoring them: a misspelt option must not look as if it worked."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            known = {name for name, field in self.fields.items() if not field.read_only}
            # What a GET shows may be sent back unchanged; it is not written.
            shown = set(self.fields)
            unknown = sorted(set(data) - known - shown)
            if unknown:
                raise serializers.ValidationError(
                    {name: serializers.ErrorDetail(_unknown(name, known), "unknown_field") for name in unknown}
                )
        return super().to_internal_value(data)


def _unknown(name: str, known: set[str]) -> str:
    return f"There is no field “{name}”. " + (f"Known are {', '.join(sorted(known))}." if known else "None is known.")


class Serializer(StrictFields, serializers.Serializer):
    pass


def refuse_body(request: Request) -> None:
    """For an action that takes nothing: whoever sends it something expects it to matter."""
    Serializer(data=request.data).is_valid(raise_exception=True)


class ModelSerializer(StrictFields, serializers.ModelSerializer):
    """Runs the model's `full_clean`, which plain DRF does not: API and admin refuse the same things."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        record = self._candidate(attrs)
        try:
            record.full_clean(validate_unique=False, validate_constraints=False)
        except DjangoValidationError as error:
            raise InvalidInput(problems_in(error)) from error
        # What clean() filled in, such as a default that hangs on another field, is saved too.
        return {**attrs, **{name: getattr(record, name) for name in attrs}, **self._filled_in(record, attrs)}

    def _candidate(self, attrs: dict[str, Any]):
        """The record as it would be saved; the one in hand stays as it is."""
        model = self.Meta.model
        record = model(**self.context.get("fixed", {}))
        if self.instance is not None:
            for field in model._meta.concrete_fields:
                setattr(record, field.attname, getattr(self.instance, field.attname))
        for name, value in attrs.items():
            setattr(record, name, value)
        return record

    def _filled_in(self, record, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: getattr(record, name) for name in getattr(self.Meta, "filled_in", ()) if name not in attrs}


def refuse_unknown_parameters(request: Request, known: Collection[str] = LIST_PARAMETERS) -> None:
    """A misspelt filter must not show everything. Raises `InvalidInput`."""
    if unknown := sorted(set(request.query_params) - set(known)):
        raise InvalidInput([Problem(name, _unknown(name, set(known)), "unknown_field") for name in unknown])


class PolicyMixin:
    """Every viewset's list and every object starts at what its asker may see."""

    def get_queryset(self):
        return super().get_queryset().visible_to(self.request.user)

    def filter_queryset(self, queryset):
        if self.action == "list":
            self._refuse_unknown_filters(queryset)
        return super().filter_queryset(queryset)

    def _refuse_unknown_filters(self, queryset) -> None:
        filterset = DjangoFilterBackend().get_filterset_class(self, queryset)
        known = {*LIST_PARAMETERS, *(filterset.base_filters if filterset else ())}
        if SearchFilter in self.filter_backends:
            known.add(SearchFilter.search_param)
        refuse_unknown_parameters(self.request, known)


class ModelViewSet(PolicyMixin, viewsets.ModelViewSet):
    pass


class ReadOnlyModelViewSet(PolicyMixin, viewsets.ReadOnlyModelViewSet):
    pass


class SearchFilter(filters.SearchFilter):
    search_param = "search"


# --- errors -----------------------------------------------------------------------


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Every refusal as `{type, errors: [{code, detail, attr}]}`; None is a bug, and a 500."""
    if isinstance(exception, AssayError):
        return _assay_error(exception)
    if isinstance(exception, DjangoValidationError):
        exception = InvalidInput(problems_in(exception))
    if isinstance(exception, InvalidInput):
        return _response("validation_error", [problem.as_dict() for problem in exception.problems], 400)
    if isinstance(exception, Http404):
        exception = exceptions.NotFound()
    elif isinstance(exception, PermissionDenied):
        exception = exceptions.PermissionDenied()
    if not isinstance(exception, exceptions.APIException):
        return None
    kind = "validation_error" if isinstance(exception, exceptions.ValidationError) else "client_error"
    headers = {}
    if getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = exception.auth_header
    if getattr(exception, "wait", None):
        headers["Retry-After"] = str(int(exception.wait))
    errors = flatten_errors(exception)
    return _response(kind, errors, exception.status_code, headers)


def _assay_error(error: AssayError) -> Response:
    detail = f"{error.message} {error.hint}".strip()
    attr = str(error.facts.get("attr", "")) or None
    status = 503 if error.retryable else int(error.facts.get("http_status", 409))
    return _response("client_error", [{"code": error.code, "detail": detail, "attr": attr}], status)


def _response(kind: str, errors: list[dict], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response({"type": kind, "errors": errors}, status=status, headers=headers)


def flatten_errors(exception: exceptions.APIException) -> list[dict[str, Any]]:
    """DRF's own refusal as `{code, detail, attr}` each."""
    return list(_flatten(exception.detail, exception.get_codes()))


def _flatten(detail: Any, codes: Any, path: str = ""):
    """DRF's nested details as a flat list with dotted paths."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flatten(inner, codes[name], _join(path, name))
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _flatten(inner, codes[position], _join(path, position) if nested else path)
    else:
        yield {"code": codes, "detail": str(detail), "attr": path or None}


def _join(path: str, name: Any) -> str:
    if name == "non_field_errors":
        return path
    return f"{path}.{name}" if path else str(name)
