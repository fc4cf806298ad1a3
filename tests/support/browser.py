"""A headless browser, for pages that must work as they are, without a network."""

import contextlib
import json
import shutil

import pytest

FLAGS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
FLAGS += "--disable-component-update --disable-sync --window-size=1200,900"


@contextlib.contextmanager
def chromium(folder):
    """A session of Chromium that logs its console and its network; `folder` is for its own files."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("no browser: install Debian's chromium and chromium-driver to test the report in one")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    session = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield session
    finally:
        session.quit()


def requested(session):
    """What a page asked for since the last call, a set of addresses; nothing may be in the console's log."""
    assert session.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in session.get_log("performance")]
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    own = ("chrome:", "chrome-untrusted:")  # the browser's own first page, and what it embeds
    return {each["request"]["url"] for each in sent if not each["documentURL"].startswith(own)}
