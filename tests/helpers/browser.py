"""A report page in a headless Chromium."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from emulator.report.html.page import report_page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

    from emulator.trace.trace import Trace

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
WIDTH, HEIGHT = 1280, 900
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--window-size={WIDTH},{HEIGHT}",
)


def size_text(size: int) -> str:
    """Return a size as the page shows it."""
    value, units = float(size), ["B", "KiB", "MiB"]
    while round(value, 1) >= 1024:
        value, units = value / 1024, units[1:]
    return f"{math.floor(10 * value + 0.5) / 10:g} {units[0]}"  # halves go up, as in the page


def start_browser(profile: Path) -> Chrome:
    """Start Chromium with a fresh profile."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options=options, service=Service(DRIVER))


class ReportPage:
    """A report that has been opened.

    Args:
        browser: Shows it.
        trace: Is what it shows.
        folder: The page is written into it.
        area: Is shown first.
    """

    def __init__(self, browser: Chrome, trace: Trace, folder: Path, area: str | None = None) -> None:
        self.browser = browser
        self.trace = trace
        page = folder / "report.html"
        page.write_bytes(report_page(trace, area))
        self.resize(WIDTH, HEIGHT)
        for kind in ("browser", "performance"):  # what earlier pages left
            browser.get_log(kind)
        self.address = page.as_uri()
        browser.get(self.address)
        self.until(lambda: self.script("return document.documentElement.dataset.ready === 'true'"))
        self.settle()

    def script(self, text: str, *arguments: object) -> Any:  # noqa: ANN401 - what the script returns
        return self.browser.execute_script(text, *arguments)

    def settle(self) -> None:
        """Wait until what has changed is drawn."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))"
        )

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, 20, 0.02).until(lambda _: condition())

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def find_all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0]).textContent", selector))

    def texts(self, selector: str) -> list[str]:
        found = self.script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
        )
        return [str(each) for each in found]

    def click(self, selector: str) -> None:
        element = self.find(selector)
        self.script("arguments[0].scrollIntoView({ block: 'center' })", element)
        element.click()
        self.settle()

    def press(self, selector: str, *keys: str) -> None:
        """Focus an element and press keys."""
        self.script("document.querySelector(arguments[0]).focus()", selector)
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)
        self.settle()

    def open_tab(self, name: str) -> None:
        self.click(f"#tab-{name}")

    def go_to(self, event: int) -> None:
        """Drag the slider to an event."""
        self.script(
            "const slider = document.getElementById('slider'); slider.value = arguments[0];"
            "slider.dispatchEvent(new Event('input'))",
            event,
        )
        self.settle()

    @property
    def event(self) -> int:
        return int(self.script("return Number(document.getElementById('slider').value)"))

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, **features: str) -> None:
        """Set media features: ``prefers_color_scheme="dark"``."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})
        self.settle()

    def complaints(self) -> list[str]:
        """Return what the browser's console says."""
        entries = self.browser.get_log("browser")
        return [entry["message"] for entry in entries]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for, without the page itself and what is inside of it."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in asked if url != self.address and not url.startswith(("data:", "blob:"))]
