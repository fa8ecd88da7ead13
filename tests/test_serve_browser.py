"""The page in a real browser: `pytest -m browser`, with Chromium and its driver installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_report_browser import FLAGS, NAMES
from test_serve_process import running

pytestmark = pytest.mark.browser

EXAMPLE = Path(__file__).parent.parent / "examples" / "captcha_1.png"

DROP = """
const [name, data] = arguments;
const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
const moved = new DataTransfer();
moved.items.add(new File([bytes], name, { type: "image/png" }));
const where = arguments[2] === "drop" ? document.getElementById("drop") : document;
const event = arguments[2] === "drop"
  ? new DragEvent("drop", { dataTransfer: moved, bubbles: true, cancelable: true })
  : new ClipboardEvent("paste", { clipboardData: moved, bubbles: true });
where.dispatchEvent(event);
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("--log", "none") as (found, _):
        yield found


@pytest.fixture
def page(address: str, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    browser = next((found for name in NAMES if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    assert browser, "no Chromium is installed: apt install chromium chromium-driver"
    assert driver, "no driver is installed: apt install chromium-driver"
    options.binary_location = browser
    for flag in (*FLAGS[:-1], "--window-size=1000,1000", f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    with webdriver.Chrome(options, Service(driver)) as found:
        found.get(address)
        yield found


def cards(page: webdriver.Chrome, count: int) -> list:
    return WebDriverWait(page, 20).until(
        lambda page: len(seen := page.find_elements(By.CSS_SELECTOR, ".card")) == count and seen
    )


def find(card, selector: str):
    return card.find_element(By.CSS_SELECTOR, selector)


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_picture_that_is_dropped_pasted_or_chosen_is_read(page: webdriver.Chrome, way: str):
    import base64

    if way == "choose":
        find(page, "#files").send_keys(str(EXAMPLE))
    else:
        page.execute_script(DROP, "a.png", base64.b64encode(EXAMPLE.read_bytes()).decode(), way)
    [card] = cards(page, 1)
    assert find(card, ".text").text == "uLZk4EB"
    assert find(card, ".confidence").text.strip() == "99.90 % confidence"
    assert find(card, "img").get_attribute("alt").endswith("read as uLZk4EB")
    marks = card.find_elements(By.CSS_SELECTOR, ".marks span")
    assert [mark.get_attribute("data-text") for mark in marks] == list("uLZk4EB")
    left, right = find(card, "img").rect["x"], find(card, "img").rect["width"]
    places = [(mark.rect["x"] - left) / right for mark in marks]
    assert places == sorted(places)
    assert 0 <= places[0] < places[-1] <= 1
    assert "160 x 60 pixels, captcha62-light" in find(card, ".facts").text
    find(card, "summary").click()
    others = card.find_elements(By.CSS_SELECTOR, ".others li")
    assert len(others) == 5
    assert others[0].text.startswith("uLZk4EB 99.9")
    said = find(card, "canvas").get_attribute("aria-label")
    assert said.startswith("probabilities of u, L, Z, k, 4, E, B")
    assert said.endswith("over 40 time steps")


def test_a_bad_file_is_told_and_the_next_one_is_read(page: webdriver.Chrome, tmp_path: Path):
    bad = tmp_path / "no picture.png"
    bad.write_bytes(b"nothing")
    find(page, "#files").send_keys(str(bad))
    [card] = cards(page, 1)
    error = find(card, "[role=alert]")
    assert error.text == "no picture.png: not a picture that Pillow can read"
    assert error.is_displayed()
    assert find(page, "#status").text == error.text
    find(page, "#files").send_keys(str(EXAMPLE))
    assert find(cards(page, 2)[0], ".text").text == "uLZk4EB"


def test_a_sample_is_drawn_by_keyboard_alone(page: webdriver.Chrome):
    body = find(page, "body")
    for _ in range(3):  # the link, the files, the button
        body.send_keys(Keys.TAB)
    assert page.switch_to.active_element.text == "Draw a sample captcha"
    page.switch_to.active_element.send_keys(Keys.ENTER)
    [card] = cards(page, 1)
    drawn = find(card, "h2").text
    assert drawn.startswith("sample ")
    assert find(card, ".text").text.lower()[:1] == drawn.split()[1].lower()[:1]


def test_options_are_sent(page: webdriver.Chrome):
    find(page, "#length").send_keys("3")
    find(page, "#files").send_keys(str(EXAMPLE))
    assert len(find(cards(page, 1)[0], ".text").text) == 3


def test_it_fits_a_phone_asks_nobody_else_and_logs_nothing(page: webdriver.Chrome):
    page.set_window_size(390, 844)
    find(page, "#files").send_keys(str(EXAMPLE))
    cards(page, 1)
    sizes = "return [document.documentElement.scrollWidth, window.innerWidth]"
    wide, window = page.execute_script(sizes)
    assert wide <= window
    asked = page.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert asked
    assert all(name.startswith((page.current_url, "data:", "blob:")) for name in asked)
    assert page.get_log("browser") == []
    page.get(page.current_url + "docs")
    WebDriverWait(page, 20).until(lambda page: "POST /predict" in find(page, "main").text)
    assert "reject_below" in find(page, "main").text
    assert page.get_log("browser") == []


def test_every_field_has_a_label(page: webdriver.Chrome):
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('input, select, button')]"
        ".filter((field) => !(field.labels?.length || field.textContent.trim())).length"
    )
    assert unnamed == 0
    assert find(page, "[aria-live=polite]")
