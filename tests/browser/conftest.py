from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.trace.trace import Trace
from tests.helpers.browser import ReportPage, start_browser
from tests.helpers.kernel_run import kernel_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Chromium, which has to be installed: apt install chromium chromium-driver."""
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The trace of a busy kernel."""
    return Trace.read(str(kernel_run(tmp_path_factory.mktemp("run") / "run.kmt", steps=1200)))


@pytest.fixture
def show(browser: Chrome, tmp_path: Path) -> Iterator[Callable[..., ReportPage]]:
    """Open a report; no page may complain or reach out."""
    shown: list[ReportPage] = []

    def open_report(trace: Trace, area: str | None = None) -> ReportPage:
        shown.append(ReportPage(browser, trace, tmp_path, area))
        return shown[-1]

    yield open_report
    for page in shown:
        assert page.complaints() == []
        assert page.requests() == []
        page.prefer()


@pytest.fixture
def page(show: Callable[..., ReportPage], run: Trace) -> ReportPage:
    """The report of the busy kernel."""
    return show(run)
