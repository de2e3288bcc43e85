"""An HTTP API that answers in pages. Each is landed as it was received."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...access import Access
from ...errors import AssayError, UnreadableSource
from ...lake.landing import CUT_SHORT, Landed, LandedFile, Landing
from ...progress import Progress
from ...secret_names import is_secret_name
from ...specs import IngestSpec
from .client import Client
from .page import Page
from .pagination import Ask
from .scrub import MASK

PLACE_SECONDS = 1.0  # how often the place is kept
POLL_SECONDS = 0.25  # how often somebody may cancel
SHOWN_BYTES = 4000

__all__ = ["land", "sample", "try_request"]


def land(spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
    """Ask for page after page, and keep each. A later try of a run that died goes on behind its last kept page.

    Raises `SourceUnavailable`, `SourceRefused`, `SourceMissing`, `UnreadableSource`, `AddressRefused`, `InvalidSpec`.
    """
    place = landing.place() or {}
    client = Client(spec, access, place.get("tally"))
    client.pager.seen.extend(seen for seen in place.get("seen", ()) if seen not in client.pager.seen)
    told = {"pages": 0, "bytes": 0, **place.get("told", {})}
    kept_at = time.monotonic()
    try:
        for page, following in _pages(client, Ask(**place.get("next", {})), told, progress):
            if page.size or page.number == 1:  # an answer without a body, too, is what was received
                landing.add(page.name, page.content, source=page.address, is_durable=False)
                told |= {"pages": told["pages"] + 1, "bytes": told["bytes"] + page.size}
            page.content.close()
            if following and time.monotonic() - kept_at >= PLACE_SECONDS:
                _keep_place(landing, client, following, told)
                kept_at = time.monotonic()
    finally:
        client.stop()
        client.close()
    return landing.finish(**client.tally.told(), **told, source=client.address)


def _keep_place(landing: Landing, client: Client, following: Ask, told: dict[str, Any]) -> None:
    """Not where the API has put a secret into what leads on: such a run would begin anew."""
    following_kept = {"number": following.number, "value": client.kept_value(following)}
    place = {"next": following_kept, "told": told, "tally": client.tally.told(), "seen": client.pager.seen}
    if not client.scrub.holds_secret(json.dumps(place, ensure_ascii=False)):
        landing.keep_place(place)


def _pages(client: Client, first: Ask, told: dict[str, Any], progress: Progress) -> Iterator[tuple[Page, Ask | None]]:
    """Each page with what comes after it, in order. The next ones are on their way while one is kept."""
    pool = ThreadPoolExecutor(client.limits.concurrency, "api")
    under_way: deque[tuple[Ask, Future]] = deque([(first, pool.submit(client.fetch, first))])
    done = told["bytes"]
    try:
        while under_way:
            ask, future = under_way.popleft()
            page = _awaited(future, client, done, progress)
            following = _within_limits(client, client.pager.after(ask, page), told)
            _send_ahead(client, pool, under_way, following)
            done += page.size
            yield page, following
            if following is None:
                return
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _send_ahead(
    client: Client, pool: ThreadPoolExecutor, under_way: deque[tuple[Ask, Future]], following: Ask | None
) -> None:
    """Ask for what follows, and for as many pages behind it as may be under way at once."""
    if following is None:
        return
    if under_way and under_way[0][0] != following:
        under_way.clear()  # a page was smaller than those before it: what is under way begins at wrong offsets
    upcoming = under_way[-1][0] if under_way else None
    upcoming = following if upcoming is None else client.pager.ahead(upcoming)
    while upcoming and len(under_way) < client.limits.concurrency and upcoming.number <= client.limits.max_pages:
        under_way.append((upcoming, pool.submit(client.fetch, upcoming)))
        upcoming = client.pager.ahead(upcoming)


def _awaited(future: Future, client: Client, done: int, progress: Progress) -> Page:
    """The page; meanwhile somebody may cancel. Only this thread reports progress."""
    progress("land", done=done)
    while not wait([future], timeout=POLL_SECONDS).done:
        progress("land", done=done)
    for note in client.notes():
        progress("land", message=note)
    return future.result()


def _within_limits(client: Client, following: Ask | None, told: dict[str, Any]) -> Ask | None:
    """What follows, or None at the job's limit. Raises `UnreadableSource` where the job says so."""
    limits = client.limits
    if following is None or following.number <= limits.max_pages:
        return following
    # Half of a window must not replace all of its rows.
    is_window = client.spec.window.start_date or client.spec.window.end_date
    if limits.on_max_pages == "fail" or is_window:
        hint = "Raise max_pages, or ask for larger pages"
        raise UnreadableSource(
            f"{client.address} has more than {limits.max_pages:,} pages.",
            hint=f"{hint} or fewer days." if is_window else f"{hint}, or set on_max_pages to stop.",
        )
    told[CUT_SHORT] = limits.max_pages
    return None


# --- looks at the first page -------------------------------------------------------------------


def sample(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    """The first page."""
    client = Client(spec, access)
    try:
        page = client.fetch(Ask())
        path = folder / page.name
        with page.content as content:
            path.write_bytes(content.read())
    finally:
        client.close()
    return [LandedFile(uri=str(path), name=path.name, size=page.size, sha256="")]


def try_request(spec: IngestSpec, access: Access) -> dict[str, Any]:
    """What a look at the first page shows: for a person who sets a job up. Never raises an `AssayError`.

    `{url, seconds, headers, body_start, bytes, records, lists, next}`; `lists`
    are the paths at which the answer has lists, with their length; `next`
    tells in words what would be asked for after it. With `error` where
    something is wrong, and then only what is known: an answer without records
    at `records_path` is shown all the same, so that another can be chosen.
    """
    told = _tried(spec, access)
    has_nothing_to_show = "body_start" not in told and told["error"]["code"] == UnreadableSource.code
    if spec.records_path and has_nothing_to_show:
        again = _tried(replace(spec, records_path=""), access)
        told = {**again, "records": None, "next": "", "error": told["error"]} if "body_start" in again else told
    return told


def _tried(spec: IngestSpec, access: Access) -> dict[str, Any]:
    try:
        client = Client(spec, access)
    except AssayError as error:
        return {"error": error.as_dict()}
    started, told = time.monotonic(), {"url": client.address}
    try:
        page = client.fetch(Ask())
        told = _shown(client, page, time.monotonic() - started)
        return told | {"next": _told_next(client, client.pager.after(Ask(), page))}
    except AssayError as error:
        return told | {"error": error.as_dict()}
    finally:
        client.close()


def _shown(client: Client, page: Page, seconds: float) -> dict[str, Any]:
    start = page.content.read(SHOWN_BYTES).decode("utf-8", "replace")
    return {
        "url": page.address,
        "status": 200,
        "seconds": round(seconds, 3),
        "headers": {
            name: MASK if is_secret_name(name) else client.scrub.text(value) for name, value in page.headers.items()
        },
        "body_start": client.scrub.text(start),
        "bytes": page.size,
        "records": page.count,
        "lists": dict(_lists(page.document)),
    }


def _lists(document: Any, path: str = "", depth: int = 3) -> Iterator[tuple[str, int]]:
    if isinstance(document, list):
        yield path, len(document)
    elif isinstance(document, dict) and depth:
        for key, value in document.items():
            written = key.replace("\\", "\\\\").replace(".", "\\.")
            yield from _lists(value, f"{path}.{written}" if path else written, depth - 1)


def _told_next(client: Client, following: Ask | None) -> str:
    if following is None:
        return "This is the only page."
    request = client.request(following)
    return f"{request.method} {client.scrub.address(request.full_url)}"
