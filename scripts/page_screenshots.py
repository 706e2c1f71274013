"""Pictures of the Headrace pages inside the Airflow UI, at 1440 px, small enough for the repository.

The folder of this machine's checkout is shown as `/srv/headrace`. Only the upper part of a document's page is taken: third parties' texts
do not belong into the repository at length.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import urllib.parse
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Frame, Page, sync_playwright

from headrace_lake.settings import load_settings

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT, MOST_BYTES = 1440, 1000, 150_000
RENAME = """(names) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) for (const [from, to] of names)
    if (walk.currentNode.nodeValue.includes(from)) walk.currentNode.nodeValue = walk.currentNode.nodeValue.replaceAll(from, to);
}"""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", default="var/poc/headrace.yaml")
    parser.add_argument("--passwords", default="", help="Airflow's file of local users; beside the lake by default")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--slice", default="debian-handbook-en/poc")
    parser.add_argument("--run", nargs=2, metavar=("DAG_ID", "RUN_ID"), help="also the tab of this run")
    parser.add_argument("--gate", metavar="RUN_ID", help="also the gate of this run of `release`, which waits for its signature")
    parser.add_argument("--shown-as", nargs=2, action="append", default=[], metavar=("FOLDER", "NAME"), help="another folder to rename")
    chosen = parser.parse_args()
    settings = load_settings(chosen.settings)
    passwords = Path(chosen.passwords or Path(chosen.settings).parent / "airflow" / "simple_auth_manager_passwords.json.generated")
    names = [[str(Path.cwd()), "/srv/headrace"], *chosen.shown_as]
    executable = next(filter(None, map(shutil.which, [os.environ.get("HEADRACE_CHROMIUM", ""), *CHROMIUM])))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-quic"])
        context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, base_url=settings.airflow.address, color_scheme="light")
        page = context.new_page()
        page.set_default_timeout(120_000)
        sign_in(page, "admin", json.loads(passwords.read_text(encoding="ascii"))["admin"])
        if chosen.run:
            dag_id, run_id = chosen.run
            page.goto(f"/dags/{dag_id}/runs/{urllib.parse.quote(run_id)}/plugin/headrace-receipts")
            shoot(page, inside(page), chosen.out / "page-run.png", names)
        if chosen.gate:
            page.goto(f"/dags/release/runs/{urllib.parse.quote(chosen.gate)}/tasks/gate/required_actions")
            page.get_by_text("The rules say").wait_for()
            shoot(page, page.main_frame, chosen.out / "gate.png", names)
        page.goto("/plugin/headrace")
        shoot(page, inside(page), chosen.out / "page-overview.png", names)
        for path, name in plain_pages(context.new_page(), chosen.slice):
            page.goto(f"/headrace/{path}")
            page.get_by_text("Being worked out").wait_for(state="detached")  # the page loads itself again
            shoot(page, page.main_frame, chosen.out / f"page-{name}.png", names)
        browser.close()


def sign_in(page: Page, user: str, password: str) -> None:
    """Sign in at Airflow's own form."""
    page.goto("/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)


def inside(page: Page) -> Frame:
    """The frame in which Airflow shows a page of ours."""
    frame: Any = page.wait_for_selector("iframe").content_frame()
    frame.wait_for_selector("main h1")
    return frame


def plain_pages(page: Page, slice_: str) -> list[tuple[str, str]]:
    """Address and name of each picture; the document and the run are found by their links."""
    page.goto(f"/headrace/slices/{slice_}/drops?stage=gopher_quality")
    document = page.locator("a[href*='/documents/']").first.get_attribute("href") or ""
    page.goto("/headrace/training")
    run = page.locator("a[href*='/training/']").first.get_attribute("href") or ""
    page.close()
    return [
        ("ledger", "ledger"),
        ("slices", "slices"),
        (f"slices/{slice_}", "slice"),
        (f"slices/{slice_}/receipts/gopher_quality", "receipt"),
        (f"slices/{slice_}/drops?stage=gopher_quality", "drops"),
        (document.partition("/headrace/")[2], "document"),
        ("docs/index.html", "docs"),
        (run.partition("/headrace/")[2], "training"),
        ("stale", "stale"),
    ]


def shoot(page: Page, frame: Frame, file: Path, names: list[list[str]]) -> None:
    """Save what the window shows, with 128 colours or fewer until it is small enough."""
    page.wait_for_load_state("networkidle")
    frame.evaluate(RENAME, names)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    for colours in (128, 64, 32, 16):
        data = io.BytesIO()
        picture.quantize(colours).save(data, "PNG", optimize=True)
        if data.tell() <= MOST_BYTES:
            break
    file.write_bytes(data.getvalue())
    print(f"{file}: {data.tell():,} bytes")


if __name__ == "__main__":
    main()
