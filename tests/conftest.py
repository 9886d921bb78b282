"""Shared by all tests."""

from collections.abc import Iterator

import pytest
from lab import find_chromium, open_browser
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser to test with; the test is skipped where there is none."""
    found = find_chromium()
    if found is None:
        pytest.skip(
            "no Chromium here: install chromium or google-chrome, or set NNOPT_LAB_CHROMIUM"
        )
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests, each with pages of its own."""
    with open_browser(chromium) as opened:
        yield opened
