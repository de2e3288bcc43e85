"""Take the README's pictures from the running demo: `make screenshots`.

Makes a home of its own, runs the demo in it twice, serves it, and drives
Debian's Chromium over the pages, once in light and once in dark.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM = "/usr/bin/chromium"
SIZE = {"width": 1440, "height": 900}
READY_SECONDS = 90

PAGES = {
    "home": "/",
    "workflow": "/workflows/shop/",
    "run": "/runs/4/",
    "ingest-job": "/workflows/shop/ingest-jobs/orders/",
    "source-form": "/workflows/shop/ingest-jobs/payments/edit/",
    "gold-job": "/workflows/shop/gold-jobs/daily_revenue_by_country/",
    "dataset": "/datasets/gold.shop.daily_revenue_by_country/",
    "timeline": "/workflows/customers/silver-jobs/customer_dim/",
    "training-card": "/workflows/customers/gold-jobs/churn_training_set/",
    "search": "/workflows/customers/gold-jobs/help_search/",
}
# What stands at the top of a picture that is not of the page's beginning, and what is asked there.
PARTS = {
    "timeline": ("#timeline", "43"),
    "training-card": ("#card", ""),
    "search": ("#search", "how do I get my money back"),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "ASSAY_HOME": home, "ASSAY_BROKER_URL": "", "DATABASE_URL": ""}
        manage = [sys.executable, str(ROOT / "manage.py")]
        for _ in range(2):
            subprocess.run([*manage, "demo", "--no-serve"], env=environment, check=True)
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = found.getsockname()[1]
        platform = subprocess.Popen([*manage, "up", "--port", str(port)], env=environment)
        try:
            take_pictures(f"http://127.0.0.1:{port}", json.loads((Path(home) / "demo-login").read_text()))
        finally:
            platform.terminate()
            platform.wait()


def take_pictures(address: str, login: dict[str, str]) -> None:
    wait_until_ready(address)
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in ("light", "dark"):
            take_pictures_in(browser, scheme, address, login)


def wait_until_ready(address: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{address}/admin/login/", timeout=5).close()  # noqa: S310  (our own address)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def take_pictures_in(browser: Browser, scheme: str, address: str, login: dict[str, str]) -> None:
    page = browser.new_context(viewport=SIZE, color_scheme=scheme).new_page()
    page.goto(f"{address}/admin/login/")
    page.fill("input[name=username]", login["username"])
    page.fill("input[name=password]", login["password"])
    page.click("button[type=submit]")
    page.wait_for_load_state("networkidle")
    for name, path in PAGES.items():
        answer = page.goto(address + path)
        if not answer.ok:
            raise SystemExit(f"{path} answered {answer.status}.")
        # Charts and graphs are drawn after the page has come, and a preview takes its time.
        page.wait_for_timeout(1500)
        page.wait_for_function("!document.querySelector('.htmx-request')")
        if name in PARTS:
            show_part(page, *PARTS[name])
        page.screenshot(path=IMAGES / f"{name}-{scheme}.png")


def show_part(page: Page, part: str, question: str) -> None:
    if question:
        field = page.locator(f"{part} input[type=search], {part} input[type=text]").first
        field.fill(question)
        field.press("Enter")
        page.wait_for_timeout(1500)
        page.wait_for_function("!document.querySelector('.htmx-request')")
    page.locator(part).evaluate("part => window.scrollTo(0, part.getBoundingClientRect().top + scrollY - 90)")


if __name__ == "__main__":
    main()
