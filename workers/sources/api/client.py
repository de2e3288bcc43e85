"""Asks an API for pages, again where that may help, and never faster than it allows."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Literal

import requests

from ...access import Access
from ...errors import AssayError, Cancelled, SourceRefused, SourceUnavailable, UnreadableSource
from ...network import session
from ...specs import IngestSpec
from .answers import refusal, server_words
from .auth import auth_of
from .page import BrokenPage, Page, look_into
from .pagination import Ask, Pager, Paging, pager_of
from .request import Request, base_request, without_params
from .scrub import Scrub, short

CHUNK_BYTES = 1 << 16
SPOOLED_BYTES = 16 << 20  # what of a page stays in memory; more goes to disk
PARSED_BYTES = 16 << 20  # a page that no paging depends on is looked into up to this size
MAX_PAUSE_SECONDS = 60.0  # of the backoff
BROKEN_TRIES = 2  # a page that is no JSON seldom gets better
RETRIED = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    timeout_seconds: float = 60
    max_retries: int = 5
    backoff_seconds: float = 1
    max_wait_seconds: float = 300
    rate_limit_per_minute: float | None = None
    max_pages: int = 10_000
    on_max_pages: Literal["fail", "stop"] = "fail"
    max_page_bytes: int = 100 << 20
    concurrency: int = 1


class Again(Exception):
    """What may pass when it is tried again: why, how long the server asks to wait, and how often it is worth it."""

    def __init__(self, reason: str, *, wait: float | None = None, error: type[AssayError] = SourceUnavailable) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.error = reason, wait, error


class Pace:
    """Spreads requests evenly over the minute, whoever makes them."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next, self._lock = 0.0, threading.Lock()

    def turn(self) -> float:
        """Takes the next turn; in how many seconds it is."""
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next)
            self._next = at + self._gap
            return at - now


class Tally:
    """What a run has asked for so far."""

    def __init__(self, before: Mapping[str, float]) -> None:
        self._counts = {"requests": 0, "retries": 0, "waited_seconds": 0.0, **before}
        self._lock = threading.Lock()

    def add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._counts[name] += amount

    def told(self) -> dict[str, float]:
        with self._lock:
            return self._counts | {"waited_seconds": round(self._counts["waited_seconds"], 3)}


class Client:
    """The API of one job. `fetch` may be called by several threads at once."""

    def __init__(self, spec: IngestSpec, access: Access, tally: Mapping[str, float] | None = None) -> None:
        self.spec, self.limits = spec, Limits(**spec.source.limits)
        self.tally, self.scrub = Tally(tally or {}), Scrub()
        self.paging = Paging(**spec.source.pagination)
        self._session = session(access.http)
        self._pace, self._stopped = Pace(self.limits.rate_limit_per_minute), threading.Event()
        self._notes: list[str] = []
        self._base = base_request(spec, access)
        self._auth = auth_of(spec.source, access, self._ask_token, self.scrub)
        self.pager: Pager = pager_of(self.paging, self._base)
        self.address = self.scrub.address(self._base.full_url)

    def stop(self) -> None:
        """Ends what is under way at its next step."""
        self._stopped.set()

    def close(self) -> None:
        self._session.close()

    def notes(self) -> list[str]:
        """What is worth telling since the last call."""
        told, self._notes = self._notes, []
        return told

    def request(self, ask: Ask) -> Request:
        return self.pager.request(self._base, ask)

    def kept_value(self, ask: Ask) -> str | int | None:
        """What of `ask` may be stored: a link without the key that we add to it anyway."""
        if isinstance(ask.value, str) and "://" in ask.value:
            return without_params(ask.value, set(self._auth.params))
        return ask.value

    def fetch(self, ask: Ask) -> Page:
        """A page; one without a byte where pages are counted and this one is not there.

        Raises `SourceUnavailable` when trying again did not help, `SourceRefused`,
        `SourceMissing`, `UnreadableSource` and `AddressRefused`.
        """
        request = self.request(ask)
        address = self.scrub.address(request.full_url)
        label = f"page {ask.number} of {address}"
        return self._persistently(lambda: self._page(request, ask, label, address), label)

    # --- trying again ------------------------------------------------------------------

    def _persistently(self, attempt: Any, label: str) -> Any:
        tries = broken = 0
        while True:
            try:
                return attempt()
            except Again as problem:
                tries, broken = tries + 1, broken + (problem.error is UnreadableSource)
                if tries > self.limits.max_retries or broken > BROKEN_TRIES:
                    raise self._given_up(problem, label, tries) from None
                self._pause(problem, label, tries)

    def _given_up(self, problem: Again, label: str, tries: int) -> AssayError:
        times = f", {tries} times" if tries > 1 else ""
        hint = "Try again later; if it stays so, raise max_retries or timeout_seconds, or lower rate_limit_per_minute."
        if problem.error is UnreadableSource:
            hint = "Look at what the API answers with “Test request”; check the job's format."
        return problem.error(f"{label[:1].upper()}{label[1:]} cannot be had: {problem.reason}{times}.", hint=hint)

    def _pause(self, problem: Again, label: str, tries: int) -> None:
        """As long as the server asks for, else exponentially longer each time, with full jitter."""
        longest = min(MAX_PAUSE_SECONDS, self.limits.backoff_seconds * 2 ** (tries - 1))
        seconds = random.uniform(0, longest)  # noqa: S311  (jitter)
        if problem.wait is not None:
            seconds = min(problem.wait, self.limits.max_wait_seconds)
        self._notes.append(f"{label}: {problem.reason}; tried again in {seconds:.1f} s.")
        self.tally.add(retries=1)
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self.tally.add(waited_seconds=seconds)
        if self._stopped.wait(seconds) if seconds > 0 else self._stopped.is_set():
            raise Cancelled("The run was stopped.")

    # --- one try -----------------------------------------------------------------------

    def _page(self, request: Request, ask: Ask, label: str, address: str) -> Page:
        content, size = _memory_or_disk(), 0
        with self._answer(request) as answer:
            is_beyond = answer.status_code == 404 and self.pager.can_be_beyond and ask.number > 1
            if not is_beyond:
                self._check(answer, request, label)
                size = self._on_the_wire(lambda: self._copied(answer, content, label))
        page = Page(
            number=ask.number,
            name=f"page-{ask.number:05d}.{self.spec.format}",
            label=label,
            address=address,
            url=str(answer.url),
            headers=answer.headers,
            content=content,
            size=size,
        )
        return replace(page, records=[]) if is_beyond else self._looked_into(page)

    def _looked_into(self, page: Page) -> Page:
        needs_look = self.paging.type in ("page", "offset", "next_link") or bool(self.paging.next_token_path)
        if not needs_look and page.size > PARSED_BYTES:
            return page
        try:
            found = look_into(page.content, self.spec, page.label, self.limits.max_page_bytes)
        except BrokenPage as error:
            raise Again(self.scrub.text(str(error)), error=UnreadableSource) from None
        page.content.seek(0)
        return replace(page, **found)

    def _answer(self, request: Request) -> requests.Response:
        """The answer's head, whatever its status. A refused token is renewed once."""
        signed = self._auth.applied(request)
        answer = self._sent(signed)
        if answer.status_code == 401 and self._auth.is_home(request.url) and self._auth.renewed(signed):
            answer.close()
            answer = self._sent(self._auth.applied(request))
        return answer

    def _sent(self, request: Request) -> requests.Response:
        self._wait(self._pace.turn())
        self.tally.add(requests=1)
        seconds = self.limits.timeout_seconds
        return self._on_the_wire(
            lambda: self._session.request(
                request.method,
                request.full_url,
                headers=dict(request.headers),
                json=request.body,
                timeout=(min(10.0, seconds), seconds),
                stream=True,
            )
        )

    def _on_the_wire(self, exchange: Any) -> Any:
        """What `exchange` answers. Raises `Again`; nothing of requests' own errors, which hold the URL, is shown."""
        try:
            return exchange()
        except SourceUnavailable as error:
            raise Again(error.message.rstrip(".")) from None
        except requests.TooManyRedirects:
            raise SourceRefused(
                f"{self.address} leads from one address to the next without end.", hint="Correct the URL."
            ) from None
        except (requests.Timeout, TimeoutError):
            raise Again(f"no answer within {self.limits.timeout_seconds:g} s") from None
        except (requests.RequestException, OSError) as error:
            raise self._wire_problem(error) from None

    def _wire_problem(self, error: BaseException) -> Exception:
        told = self.scrub.text(str(error))
        if "CERTIFICATE_VERIFY_FAILED" in told:
            return SourceRefused(
                f"The certificate of {self.address} cannot be trusted.",
                hint="Have its owner renew it; the certificate of a private authority has to be trusted by the worker.",
            )
        if "timed out" in told.lower():
            return Again(f"no answer within {self.limits.timeout_seconds:g} s")
        return Again(_words_of(error))

    def _check(self, answer: requests.Response, request: Request, label: str) -> None:
        """Raises `Again` or what is wrong, unless the answer is a page."""
        status = answer.status_code
        if 200 <= status < 300:
            return
        wait = asked_wait(answer)
        words = self.scrub.text(server_words(self._head(answer)))
        if status in RETRIED or status >= 500 or (status == 403 and wait is not None):
            raise Again(f"it answered {status}{f' ({words})' if words else ''}", wait=wait)
        raise refusal(status, label, words, is_home=self._auth.is_home(request.url))

    def _head(self, answer: requests.Response) -> bytes:
        try:
            return self._on_the_wire(lambda: next(answer.iter_content(CHUNK_BYTES), b""))
        except Again:
            return b""

    def _copied(self, answer: requests.Response, content: BinaryIO, label: str) -> int:
        """The body's size in bytes. Raises `UnreadableSource` for one that is too large."""
        size, most = 0, self.limits.max_page_bytes
        for chunk in answer.iter_content(CHUNK_BYTES):
            size += len(chunk)
            if size > most:
                raise UnreadableSource(
                    f"{label[:1].upper()}{label[1:]} is larger than {most:,} bytes.",
                    hint="Ask for smaller pages, or raise max_page_bytes.",
                )
            content.write(chunk)
            if self._stopped.is_set():
                raise Cancelled("The run was stopped.")
        content.seek(0)
        return size

    # --- tokens ------------------------------------------------------------------------

    def _ask_token(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        label = f"the token of {self.scrub.address(url)}"
        return self._persistently(lambda: self._token(url, form, headers, label), label)

    def _token(self, url: str, form: Mapping[str, str], headers: Mapping[str, str], label: str) -> Any:
        seconds = self.limits.timeout_seconds
        sent = {"Accept": "application/json", "User-Agent": "Assay", **headers}
        answer = self._on_the_wire(
            lambda: self._session.post(
                url, data=dict(form), headers=sent, timeout=(min(10.0, seconds), seconds), stream=True
            )
        )
        with answer:
            head = self._head(answer)
            if answer.status_code in RETRIED or answer.status_code >= 500:
                raise Again(f"it answered {answer.status_code}", wait=asked_wait(answer))
            if not 200 <= answer.status_code < 300:
                words = self.scrub.text(server_words(head))
                raise SourceRefused(
                    f"The token endpoint answered {answer.status_code}{f': {words}' if words else ''}.",
                    hint="Check auth.token_url, client_id, client_secret and scope.",
                )
        try:
            return requests.compat.json.loads(head)
        except ValueError:
            raise Again("it is no JSON", error=UnreadableSource) from None


def _memory_or_disk() -> BinaryIO:
    return SpooledTemporaryFile(max_size=SPOOLED_BYTES)


def asked_wait(answer: requests.Response) -> float | None:
    """For how many seconds the server asks to be left alone: Retry-After, or the end of a used up quota."""
    told = answer.headers.get("Retry-After", "").strip()
    if told.replace(".", "", 1).isdigit():
        return float(told)
    if told:
        try:
            moment = parsedate_to_datetime(told)
        except ValueError:
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if answer.headers.get("X-RateLimit-Remaining") == "0" and reset.isdigit():
        # A moment since 1970, or seconds from now.
        return max(0.0, float(reset) - time.time()) if len(reset) > 9 else float(reset)
    return None


def _words_of(error: BaseException) -> str:
    """What went wrong on the wire, in words that hold no URL."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and len(chain) < 10:
        chain.append(cause)
    told = next((each.strerror for each in reversed(chain) if isinstance(each, OSError) and each.strerror), "")
    if told:
        return f"the connection failed ({short(told, 80)})"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return "it cannot be unpacked"
    return "the connection broke off"
