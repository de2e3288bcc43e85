"""How one page leads to the next: a small class for each way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol
from urllib.parse import urljoin

from requests.utils import parse_header_links

from ...errors import InvalidSpec, UnreadableSource
from ...json_path import MISSING, find
from .page import Page
from .request import Request, Where, origin

Kind = Literal["none", "page", "offset", "cursor", "next_link", "link_header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """The options, as in docs/ingest.md."""

    type: Kind = "none"
    page_param: str | None = None
    page_size_param: str | None = None
    page_size: int | None = None
    send_in: Where = "query"
    first_page: int = 1
    maximum_page: int | None = None
    stop_at: Literal["empty_page", "short_page"] = "empty_page"
    total_path: str | None = None
    total_pages_path: str | None = None
    has_more_path: str | None = None
    next_token_path: str | None = None
    next_token_header: str | None = None
    next_token_param: str = "cursor"  # noqa: S105  (a name)
    next_url_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Which page is wanted: JSON, so that a run that died can go on from it."""

    number: int = 1  # of the page in this run
    value: str | int | None = None  # page number, offset, cursor or link; None: the first request as it is


class Pager(Protocol):
    """One way of paging. It remembers what it has seen, and may be given that again: `seen`."""

    can_be_beyond: bool  # pages are counted, so one may be asked for that is not there
    seen: list[str]

    def request(self, base: Request, ask: Ask) -> Request:
        """The request for a page."""

    def after(self, ask: Ask, page: Page) -> Ask | None:
        """What comes after a page; None: it was the last. Raises `UnreadableSource` when pages go round in a circle."""

    def ahead(self, ask: Ask) -> Ask | None:
        """What comes after `ask` if pages are as they were up to now; None: that cannot be known before it is seen."""


def pager_of(paging: Paging, first: Request) -> Pager:
    if paging.type not in _PAGERS:
        raise InvalidSpec(f"There is no pagination “{paging.type}”.", hint=f"Use {', '.join(_PAGERS)}.")
    return _PAGERS[paging.type](paging, first)


class Single:
    """All records at once."""

    can_be_beyond = False

    def __init__(self, paging: Paging, first: Request) -> None:
        self._paging = paging
        self.seen: list[str] = []

    def request(self, base: Request, ask: Ask) -> Request:
        size, name = self._paging.page_size, self._paging.page_size_param
        return base.having(self._paging.send_in, name, size) if size and name else base

    def after(self, ask: Ask, page: Page) -> Ask | None:
        return None

    def ahead(self, ask: Ask) -> Ask | None:
        return None


class _Counted(Single):
    """By a number that grows. It ends with an empty page, with the total that the API tells, or with a 404."""

    can_be_beyond = True
    param, size_param = "", ""

    def __init__(self, paging: Paging, first: Request) -> None:
        super().__init__(paging, first)
        self._size = paging.page_size or 100
        self._total: int | None = None
        self._largest = self._latest = 0  # records on a page
        self._last_records: Any = None

    def request(self, base: Request, ask: Ask) -> Request:
        paging = self._paging
        size_param = self.size_param if paging.page_size_param is None else paging.page_size_param
        if size_param:
            base = base.having(paging.send_in, size_param, self._size)
        return base.having(paging.send_in, paging.page_param or self.param, self._value(ask))

    def after(self, ask: Ask, page: Page) -> Ask | None:
        if not page.count or self._is_told_to_end(page):
            return None
        self._refuse_repetition(page)
        self._latest, self._largest = page.count, max(self._largest, page.count)
        # A first page that is not full may be as large as the API makes them; a later one is short beside it.
        if self._paging.stop_at == "short_page" and page.count < self._largest:
            return None
        return self._next(ask, page)

    def _is_told_to_end(self, page: Page) -> bool:
        path = self._paging.has_more_path
        return bool(path) and not _is_true(find(page.document, path))

    def _refuse_repetition(self, page: Page) -> None:
        if page.records is not None and page.records == self._last_records:
            raise UnreadableSource(
                f"{page.label} has the same records as the page before it.",
                hint=f"The API seems not to know the parameter “{self._paging.page_param or self.param}”; where it "
                "answers its last page again and again, set maximum_page or the path of the total.",
            )
        self._last_records = page.records

    def _tell_total(self, page: Page, path: str | None) -> None:
        told = find(page.document, path) if path else MISSING
        if isinstance(told, str) and told.strip().isdigit():
            told = int(told)
        if isinstance(told, int) and not isinstance(told, bool):
            self._total = told

    def _value(self, ask: Ask) -> int:
        raise NotImplementedError

    def _next(self, ask: Ask, page: Page) -> Ask | None:
        raise NotImplementedError


class ByPage(_Counted):
    """`page=1`, `page=2`, …"""

    param, size_param = "page", "per_page"

    def _value(self, ask: Ask) -> int:
        return self._paging.first_page if ask.value is None else int(ask.value)

    def _next(self, ask: Ask, page: Page) -> Ask | None:
        self._tell_total(page, self._paging.total_pages_path)
        return self._following(ask)

    def ahead(self, ask: Ask) -> Ask | None:
        return self._following(ask)

    def _following(self, ask: Ask) -> Ask | None:
        value = self._value(ask) + 1
        if self._paging.maximum_page is not None and value > self._paging.maximum_page:
            return None
        if self._total is not None and value >= self._total + self._paging.first_page:
            return None
        return Ask(number=ask.number + 1, value=value)


class ByOffset(_Counted):
    """`offset=0`, `offset=100`, …: by as many records as came, so that an API with smaller pages loses none."""

    param, size_param = "offset", "limit"

    def _value(self, ask: Ask) -> int:
        return int(ask.value or 0)

    def _next(self, ask: Ask, page: Page) -> Ask | None:
        self._tell_total(page, self._paging.total_path)
        return self._following(ask, page.count)

    def ahead(self, ask: Ask) -> Ask | None:
        """Only while pages are as large as was asked for can the next offset be known."""
        return self._following(ask, self._size) if self._latest == self._size else None

    def _following(self, ask: Ask, records: int) -> Ask | None:
        value = self._value(ask) + records
        is_over = self._total is not None and value >= self._total
        return None if is_over else Ask(number=ask.number + 1, value=value)


class _Referred(Single):
    """By what a page says of the next one."""

    what = ""

    def after(self, ask: Ask, page: Page) -> Ask | None:
        path = self._paging.has_more_path
        if path and not _is_true(find(page.document, path)):
            return None
        reference = self._reference(page)
        if reference is None:
            return None
        if self._is_known(ask, reference):
            if page.is_empty:
                return None  # some APIs repeat the last cursor where there is nothing more
            raise UnreadableSource(
                f"{page.label} leads back to a page that was read before.",
                hint=f"The API repeats its {self.what}. Check the pagination's options against its documentation.",
            )
        return Ask(number=ask.number + 1, value=reference)

    def _is_known(self, ask: Ask, reference: str | int) -> bool:
        """Whether this led to a page before; notes it."""
        if not self.seen and ask.value is not None:
            self.seen.append(_digest(ask.value))
        digest = _digest(reference)
        if digest in self.seen:
            return True
        self.seen.append(digest)
        return False

    def _reference(self, page: Page) -> str | int | None:
        raise NotImplementedError


class ByCursor(_Referred):
    """By a token of the body or of a header, sent back in a parameter. One that is an address leads on itself."""

    what = "cursor"

    def request(self, base: Request, ask: Ask) -> Request:
        if _is_address(ask.value):
            return base.at(str(ask.value))
        base = super().request(base, ask)
        if ask.value is None:
            return base
        return base.having(self._paging.send_in, self._paging.next_token_param, ask.value)

    def _reference(self, page: Page) -> str | int | None:
        if header := self._paging.next_token_header:
            return page.headers.get(header) or None
        token = find(page.document, self._paging.next_token_path or "")
        if token is MISSING or token is None or token is False or token == "":
            return None
        if not isinstance(token, str | int):
            raise UnreadableSource(
                f"{page.label} has no text or number at {self._paging.next_token_path}.", hint="Check next_token_path."
            )
        return token


class _ByLink(_Referred):
    what = "link"

    def __init__(self, paging: Paging, first: Request) -> None:
        super().__init__(paging, first)
        self.seen.append(_digest(self.request(first, Ask()).full_url))

    def request(self, base: Request, ask: Ask) -> Request:
        # A link is whole: it has the parameters that lead to its page.
        return super().request(base, ask) if ask.value is None else base.at(str(ask.value))

    def _absolute(self, page: Page, link: str) -> str:
        url = urljoin(page.url, link)
        origin(url)  # refuses file: and the like
        return url


class ByNextLink(_ByLink):
    """By a URL in the body."""

    def _reference(self, page: Page) -> str | None:
        link = find(page.document, self._paging.next_url_path or "")
        if link is MISSING or not link:
            return None
        if not isinstance(link, str):
            raise UnreadableSource(
                f"{page.label} has no URL at {self._paging.next_url_path}.", hint="Check next_url_path."
            )
        return self._absolute(page, link)


class ByLinkHeader(_ByLink):
    """By the header `Link: <…>; rel="next"` (RFC 8288)."""

    def _reference(self, page: Page) -> str | None:
        for link in parse_header_links(page.headers.get("Link", "")):
            if "next" in str(link.get("rel", "")).lower().split():
                return self._absolute(page, link["url"])
        return None


_PAGERS: dict[str, type[Single]] = {
    "none": Single,
    "page": ByPage,
    "offset": ByOffset,
    "cursor": ByCursor,
    "next_link": ByNextLink,
    "link_header": ByLinkHeader,
}


def _is_address(reference: Any) -> bool:
    return isinstance(reference, str) and bool(re.match("https?://", reference, re.IGNORECASE))


def _is_true(told: Any) -> bool:
    return told is not MISSING and bool(told) and str(told).lower() not in ("false", "0", "no")


def _digest(reference: str | int) -> str:
    return sha256(str(reference).encode()).hexdigest()[:16]
