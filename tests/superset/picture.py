"""Make docs/superset.png: a real Superset's chart of messages per day by role, from a service of a help desk's threads.

    python -m tests.superset.picture

It needs Debian's chromium and chromium-driver, and selenium beside the requirements of the tests.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from messages_dbapi.embedded.store import Draft, Store

from .conftest import add_database
from .server import Superset, serve_messages, serve_superset, set_up

_PICTURE = Path(__file__).parents[2] / "docs" / "superset.png"
_KEY = "sk-of-the-picture"
_FIRST = datetime(2026, 3, 2, tzinfo=UTC)
_DAYS = 42
# The page, which is drawn at a scale that makes the picture 1200 pixels wide.
_PAGE = {"width": 1500, "height": 760, "deviceScaleFactor": 0.8, "mobile": False}
# Messages of a weekday, Monday first: a help desk has quiet weekends.
_WEEK = (17, 14, 13, 12, 11, 5, 3)
_TALKS = (
    (
        ("user", "Hello, my parcel was due on Friday and tracking shows nothing."),
        ("assistant", "Sorry about that. Which order is it? The number begins with two letters."),
        ("user", "KB 40718, two bicycle lamps."),
        ("assistant", "Found it: the label was unreadable, so it went back to the depot. It leaves again tonight."),
        ("user", "They are here, and they are bright. Thank you!"),
    ),
    (
        ("user", "Can I still change the delivery address?"),
        ("assistant", "Yes, until it is packed at noon tomorrow. Where shall it go?"),
        ("user", "To the office, please: Harbour Road 7."),
        ("assistant", "Changed. You will get the new confirmation by mail."),
    ),
    (
        ("user", "The rear light blinks twice and goes dark."),
        ("assistant", "That is an empty battery. Does it blink three times after an hour on the cable?"),
        ("user", "No, twice again."),
        ("assistant", "Then the cell is worn out. A new one is on its way, at no cost."),
        ("assistant", "Here is the return label for the old one, if you have no place to recycle it."),
    ),
    (
        ("user", "Do you have the helmet in a smaller size?"),
        ("assistant", "In 52 to 54 cm, yes, in grey and in red. It ships today."),
    ),
)


def _conversations() -> Iterator[tuple[datetime, list[Draft]]]:
    chance = random.Random(7)
    for day in range(_DAYS):
        date = _FIRST + timedelta(days=day)
        for _ in range(round(_WEEK[date.weekday()] * (0.7 + day / 90) * chance.uniform(0.75, 1.25))):
            begun = date + timedelta(minutes=chance.triangular(420, 1320, 840))
            talk = chance.choice(_TALKS)[: chance.randint(2, 5)]
            yield (
                begun,
                [
                    Draft(role=role, content=text, created_at=int((begun + timedelta(minutes=2 * n)).timestamp()))
                    for n, (role, text) in enumerate(talk)
                ],
            )


def _fill(file: Path) -> list[str]:
    with Store(str(file)) as store:
        talks = sorted(_conversations(), key=lambda talk: talk[0])
        return [store.add_thread(messages=drafts, created_at=int(begun.timestamp())).id for begun, drafts in talks]


def _make_chart(superset: Superset, url: str) -> str:
    database = add_database(superset, "Help desk", url)
    body = {"database": database, "schema": "openai.assistants", "table_name": "transcript"}
    dataset = superset.post("/api/v1/dataset/", body)["id"]
    form = {
        "datasource": f"{dataset}__table",
        "viz_type": "echarts_timeseries_bar",
        "x_axis": "created",
        "time_grain_sqla": "P1D",
        "metrics": [{"expressionType": "SQL", "sqlExpression": "COUNT(*)", "label": "messages"}],
        "groupby": ["role"],
        "stack": "Stack",
        "row_limit": 10_000,
        "x_axis_title": "",
        "x_axis_time_format": "%d %b",
        "y_axis_format": "SMART_NUMBER",
        "y_axis_title": "Messages per day",
        "y_axis_title_margin": 40,
        "y_axis_title_position": "Left",
        "color_scheme": "supersetColors",
        "show_legend": True,
        "legendOrientation": "top",
        "legendType": "scroll",
        "rich_tooltip": True,
        "time_range": "No filter",
    }
    chart = {
        "slice_name": "Messages per day by role",
        "viz_type": form["viz_type"],
        "datasource_id": dataset,
        "datasource_type": "table",
        "params": json.dumps(form),
    }
    number = superset.post("/api/v1/chart/", chart)["id"]
    return f"{superset.url}/explore/?slice_id={number}"


@contextmanager
def _browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    with tempfile.TemporaryDirectory() as profile:
        for argument in (
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{argument}")
        browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
        try:
            yield browser
        finally:
            browser.quit()


def _take(superset: Superset, address: str) -> None:
    with _browser() as browser:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", _PAGE)
        browser.get(f"{superset.url}/health")
        for name, value in superset.cookies.items():
            browser.add_cookie({"name": name, "value": value})
        browser.get(address)
        WebDriverWait(browser, 60).until(
            lambda page: page.find_elements(By.CSS_SELECTOR, ".chart-container canvas, .slice_container canvas")
        )
        time.sleep(4)  # the bars grow
        _PICTURE.parent.mkdir(exist_ok=True)
        browser.save_screenshot(str(_PICTURE))


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        threads = _fill(folder / "messages.db")
        set_up(folder)
        with serve_messages(folder / "messages.db", _KEY) as base_url, serve_superset(folder, {}) as superset:
            url = base_url.replace("http://", f"messages+http://:{_KEY}@") + "?unscoped=scan"
            _take(superset, _make_chart(superset, url))
    sys.stdout.write(f"{_PICTURE}: {len(threads)} threads\n")


if __name__ == "__main__":
    main()
