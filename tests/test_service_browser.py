"""The page in a real browser: needs selenium, Chromium and its driver (Debian: chromium, chromium-driver)."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from service_stand_in import SKILLS, running

from uwe_jax.serving.options import Limits

pytestmark = pytest.mark.slow
webdriver = pytest.importorskip("selenium.webdriver")
Keys = webdriver.Keys
By = pytest.importorskip("selenium.webdriver.common.by").By
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("there is no chromium and chromedriver", allow_module_level=True)

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1000,900"),
)
KEY = "0123456789abcdef-key"


class Page:
    """A browser on the page of a service."""

    def __init__(self, driver: Any, port: int):
        self.driver, self.base = driver, f"http://127.0.0.1:{port}"
        driver.get(self.base)

    def all(self, css: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def wait(self, css: str) -> list:
        """The elements, once there are some that are shown."""

        def shown(driver) -> list:
            return [each for each in driver.find_elements(By.CSS_SELECTOR, css) if each.is_displayed()]

        return WebDriverWait(self.driver, 20).until(shown)

    def search(self, text: str, *keys: str) -> None:
        """Types a text and sends it."""
        self.wait("#top_k")
        WebDriverWait(self.driver, 20).until(lambda driver: self.all("#top_k option"))
        field = self.all("#text")[0]
        field.clear()
        field.send_keys(text, *(keys or (Keys.ENTER,)))

    def problems(self) -> list[str]:
        """What the browser complains of, refused connections to the outside included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked(self) -> set[str]:
        """Addresses that the page has loaded."""
        script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
        return {name.removeprefix(self.base) for name in self.driver.execute_script(script)}


@pytest.fixture
def browser(tmp_path):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_a_title_is_ranked_and_explained(browser):
    with running() as client:
        page = Page(browser, client.port)
        page.search("write code")
        hits = page.wait(".hit")
        assert hits[0].find_element(By.CSS_SELECTOR, ".text").text == "write code"
        assert len(hits) == len(SKILLS)
        assert "6 found" in page.all("#status")[0].text
        assert hits[0].get_attribute("aria-expanded") == "false"
        hits[0].click()
        words = page.wait(".explanation button.chip")
        assert [word.find_element(By.CSS_SELECTOR, ".word").text for word in words] == ["[start]", "code", "[end]"]
        # The word that adds most is chosen, and shows what it attended to; another one can be.
        assert [word.get_attribute("aria-pressed") for word in words] == ["false", "true", "false"]
        assert [each.text for each in page.all(".explanation span.chip .value")] == [
            "10 % · cos 0.30",
            "90 % · cos 1.00",
        ]
        words[2].send_keys(Keys.SPACE)
        assert "cos −0.20" in page.all(".explanation span.chip .value")[1].text  # noqa: RUF001
        hits[0].click()
        assert not page.all(".panel")[0].is_displayed()
        page.search("nurse")
        page.all("#space option")[1].click()
        page.search("nurse", Keys.ENTER)
        WebDriverWait(browser, 20).until(lambda driver: len(page.all(".hit")) == 2)
        assert page.problems() == []
        assert all(name.startswith("/") for name in page.asked())


def test_a_vacancy_is_read_sentence_by_sentence(browser):
    with running() as client:
        page = Page(browser, client.port)
        text = "Your tasks:\n- weld metal\n- write code and test code\n- plan shifts & keep records"
        page.search(text.replace("\n", Keys.SHIFT + Keys.ENTER + Keys.NULL))
        hits = page.wait(".hit")
        found = {hit.find_element(By.CSS_SELECTOR, ".text").text: hit for hit in hits}
        sentence = found["test code"].find_element(By.CSS_SELECTOR, ".sentence").text
        assert sentence == "write code and test code"
        assert "3 sentences" in page.all("#status")[0].text
        page.all(".read summary")[0].click()
        assert len(page.wait(".read li")) == 3
        assert page.problems() == []


def test_what_was_not_read_is_said(browser):
    with running(limits=Limits(queries=2)) as client:
        page = Page(browser, client.port)
        lines = ["weld metal " * 40 + ".", "write code", "test code"]  # the stand-in reads 64 words
        page.search((Keys.SHIFT + Keys.ENTER + Keys.NULL).join(lines))
        assert len(page.wait(".hit")) == len(SKILLS)
        told = page.all("#status")[0].text
        assert "of 2 sentences" in told
        assert "1 more were not ranked" in told
        assert "Of 1 only the first 64 tokens were read." in told
        page.search("nurse " * 20)
        WebDriverWait(browser, 20).until(lambda driver: "Choose one" in page.all("#status")[0].text)
        assert "tokens" not in page.all("#status")[0].text
        assert page.problems() == []


def test_a_key_is_asked_for_and_kept(browser):
    with running(keys=(KEY,)) as client:
        page = Page(browser, client.port)
        page.wait("#key")[0].send_keys("a wrong one", Keys.ENTER)
        WebDriverWait(browser, 20).until(lambda driver: "Try another" in page.all("#key_text")[0].text)
        page.wait("#key")[0].send_keys(KEY, Keys.ENTER)
        page.search("weld metal")
        assert page.wait(".hit")[0].find_element(By.CSS_SELECTOR, ".text").text == "weld metal"
        browser.refresh()
        page.search("write code")
        assert page.wait(".hit")


def test_refusals_are_told_and_markup_stays_text(browser):
    with running() as client:
        page = Page(browser, client.port)
        page.search("")
        assert "Type something" in page.wait("#status")[0].text
        page.search("boom")
        assert "inside the service" in page.wait("#status.problem")[0].text
        page.search("<img src=x onerror=alert(1)> write code")
        assert page.wait(".hit")
        assert not page.all("#results img")
        # Nothing in a page that is refused may run, even if it got there.
        browser.execute_script(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))"
        )
        assert browser.execute_script("return window.ran") is None


def test_the_page_fits_a_phone_and_both_colours(browser):
    with running() as client:
        phone = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        page = Page(browser, client.port)
        page.search("write code")
        page.wait(".hit")[0].click()
        page.wait(".explanation")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        ground = "return getComputedStyle(document.body).backgroundColor"
        before = browser.execute_script(ground)
        page.all("#theme")[0].click()
        assert browser.execute_script(ground) != before
        assert page.problems() == []


def test_the_schema_is_readable(browser):
    with running() as client:
        page = Page(browser, client.port)
        browser.get(f"{page.base}/docs")
        paths = [each.text for each in page.wait(".endpoint h2 code")]
        assert {"/v1/rank", "/v1/explain", "/healthz"} <= set(paths)
        assert "curl" in page.all(".endpoint pre")[0].text
        assert page.problems() == []
        assert "/page/docs.js" in page.asked()
