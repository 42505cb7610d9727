"""The page in a real browser: needs selenium, Chromium and its driver (Debian: chromium, chromium-driver)."""

from __future__ import annotations

import csv
import io
import json
import shutil
from typing import Any

import pytest
from service_stand_in import SKILLS, StandIn, StandInIndex, running

from uwe_jax.serving.options import Limits
from uwe_jax.serving.tasks import ServedModel

pytestmark = pytest.mark.slow
webdriver = pytest.importorskip("selenium.webdriver")
Keys = webdriver.Keys
Stale = pytest.importorskip("selenium.common.exceptions").StaleElementReferenceException
By = pytest.importorskip("selenium.webdriver.common.by").By
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("there is no chromium and chromedriver", allow_module_level=True)

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1000,900"),
)
KEY = "0123456789abcdef-key"
MANY = StandInIndex([f"skill {number}" for number in range(60)])


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

        return WebDriverWait(self.driver, 20, ignored_exceptions=[Stale]).until(shown)

    def search(self, text: str, *keys: str) -> None:
        """Types a text and sends it."""
        self.wait("#top_k")
        WebDriverWait(self.driver, 20).until(lambda driver: self.all("#top_k option"))
        field = self.all("#text")[0]
        field.clear()
        field.send_keys(text, *(keys or (Keys.ENTER,)))

    def status(self, begins: str) -> None:
        """Waits until the status begins so."""
        WebDriverWait(self.driver, 20).until(lambda driver: self.all("#status")[0].text.startswith(begins))

    def asked(self, heading: str) -> None:
        """Waits until hits of such a search are shown."""
        wanted = lambda driver: [each.text for each in self.all(".asked")] == [heading]  # noqa: E731
        WebDriverWait(self.driver, 20, ignored_exceptions=[Stale]).until(wanted)

    def problems(self) -> list[str]:
        """What the browser complains of, refused connections to the outside included."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def loaded(self) -> set[str]:
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
        assert page.all("#status")[0].text.startswith("All 6, best first, in ")
        assert page.all(".asked")[0].text == "write code in skills"
        ids = [each.text for each in page.all(".facts > :first-child")]
        assert ids == [f"id of {hit}" for hit in texts(hits)]
        assert hits[0].get_attribute("aria-expanded") == "false"
        hits[0].click()
        words = page.wait(".explanation button.chip")
        assert page.all(".why")[0].text == "Made this hit: code through code."
        # Marks and punctuation are behind the fold. The word that adds most shows what it attended to; another can.
        assert [word.find_element(By.CSS_SELECTOR, ".word").text for word in words] == ["code", "now"]
        assert [word.get_attribute("aria-pressed") for word in words] == ["true", "false"]
        assert [each.text for each in page.all(".explanation span.chip .value")] == ["10 %", "90 %"]
        words[1].send_keys(Keys.SPACE)
        assert [each.text for each in page.all(".explanation span.chip .value")] == ["50 %", "25 %"]
        assert "[start]" not in page.all(".explanation")[0].text
        page.all(".numbers summary")[0].send_keys(Keys.ENTER)
        assert [each.text for each in page.wait(".numbers tbody th")] == ["[start]", "code", "now", "!", "[end]"]
        assert "code 0.50 (−0.20)" in page.all(".numbers tr")[5].text  # noqa: RUF001
        assert "Scorer: soft" in page.all(".numbers .hint")[0].text
        hits[0].click()
        assert not page.all(".panel")[0].is_displayed()
        page.search("nurse")
        page.all("#index option")[1].click()
        page.search("nurse", Keys.ENTER)
        WebDriverWait(browser, 20).until(lambda driver: len(page.all(".hit")) == 2)
        assert page.problems() == []
        assert all(name.startswith("/") for name in page.loaded())


def texts(hits: list) -> list[str]:
    return [hit.find_element(By.CSS_SELECTOR, ".text").text for hit in hits]


def test_the_address_holds_the_search(browser):
    with running(
        load=lambda options: ServedModel(StandIn(), {"many": MANY, "jobs": StandInIndex(["nurse"])})
    ) as client:
        page = Page(browser, client.port)
        page.search("skill 7 & more")
        page.status("The 10 best of 60, in ")
        assert browser.current_url == f"{page.base}/#q=skill+7+%26+more&index=many&top_k=10"
        page.search("skill 9")
        page.asked("skill 9 in many")
        browser.back()
        page.asked("skill 7 & more in many")
        assert page.all("#text")[0].get_property("value") == "skill 7 & more"
        browser.refresh()
        page.asked("skill 7 & more in many")
        assert len(page.all(".hit")) == 10
        browser.forward()
        page.asked("skill 9 in many")
        page.all(".skip")[0].send_keys(Keys.ENTER)
        assert browser.switch_to.active_element.get_attribute("id") == "results"
        assert "#q=skill+9" in browser.current_url
        browser.get(f"{page.base}/#q=nurse&space=jobs&top_k=25")
        page.asked("nurse in jobs")
        assert page.all("#top_k")[0].get_property("value") == "25"
        browser.get(f"{page.base}/#q=nurse&index=none")
        page.status("There is no index none; there are many, jobs.")
        assert not page.all(".hit, .asked")
        browser.get(page.base)
        page.search("nurse")
        assert page.wait(".hit")
        page.search("boom")
        assert "Internal error" in page.wait("#status.problem")[0].text
        assert not page.all(".hit, .asked")  # of the search before


def test_only_probabilities_have_bars(browser):
    class Calibrated(StandIn):
        def rank_each(self, *given, **more):
            rows = super().rank_each(*given, **more)
            return [row._with((hit._replace(probability=hit.score / 2) for hit in row), "") for row in rows]

    calibrated = StandInIndex()
    with running(load=lambda options: served(Calibrated(), {"skills": calibrated})) as client:
        page = Page(browser, client.port)
        page.search("write code")
        page.wait(".hit")
        assert [each.text for each in page.all(".hit .figure")][:2] == ["50 %", "25 %"]
        assert page.all(".hit .bar")[0].get_attribute("style") == "--share: 0.500;"
        assert not page.all(".note")
        page.all("#min_probability")[0].send_keys("0.3", Keys.ENTER)
        page.status("The best of 6, in ")
        page.search("nurse")
        page.status("None of 6, in ")
        assert page.all(".none")[0].text.startswith("None of these. 0 of 6 hits reach probability 0.3; the best, ")
        assert "min_probability=0.3" in browser.current_url
    with running() as client:
        page = Page(browser, client.port)
        page.search("write code")
        page.wait(".hit")
        assert page.all(".hit .figure")[0].text == "1.000"
        assert not page.all(".hit .bar")
        assert page.all(".note")[0].text.startswith("Scores order the targets of one query")
        assert not page.all("#min_probability")[0].is_displayed()
        page.all("#min_score")[0].send_keys("0.75", Keys.ENTER)
        page.status("The best of 6, in ")


def served(model: StandIn, indexes: dict) -> ServedModel:
    """A served model whose indexes count as calibrated."""
    found = ServedModel(model, indexes)
    found.calibrations = dict.fromkeys(indexes, "fitted to judgements")
    return found


def test_hits_are_copied_and_downloaded(browser, tmp_path):
    odd = ["=1+1", 'say "no", twice', "na\xefve work"]
    with running(load=lambda options: ServedModel(StandIn(), {"odd": StandInIndex(odd)})) as client:
        page = Page(browser, client.port)
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        grant = {"origin": page.base, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
        browser.execute_cdp_cmd("Browser.grantPermissions", grant)
        page.search("na\xefve/work")
        for button in page.wait(".save button"):
            button.click()
        page.status("All 3")
        WebDriverWait(browser, 20).until(lambda driver: page.all(".save .hint")[0].text == "Copied.")
        names = ("na\xefve-work.csv", "na\xefve-work.json")
        WebDriverWait(browser, 20).until(lambda driver: all((tmp_path / name).is_file() for name in names))
        table, content = ((tmp_path / name).read_bytes().decode() for name in names)
        assert table.startswith("\ufeffplace,score,text,id")
        rows = list(csv.DictReader(io.StringIO(table.removeprefix("\ufeff"))))
        found = json.loads(content)
        assert [row["text"].removeprefix("'") for row in rows] == [hit["text"] for hit in found["hits"]]
        assert {row["text"] for row in rows} == {"'=1+1", *odd[1:]}  # a spreadsheet does not run the first
        assert [float(row["score"]) for row in rows] == [hit["score"] for hit in found["hits"]]
        assert {each: found[each] for each in ("model", "index", "query")} == {
            "model": "stand-in",
            "index": "odd",
            "query": "na\xefve/work",
        }
        page.search("weld\n".replace("\n", Keys.SHIFT + Keys.ENTER + Keys.NULL) + "na\xefve work")
        page.status("All 3, best first, for a vacancy of 2 sentences, in ")
        page.all(".save button")[1].click()
        WebDriverWait(browser, 20).until(lambda driver: (tmp_path / "weld-na\xefve-work.csv").is_file())
        table = (tmp_path / "weld-na\xefve-work.csv").read_text("utf-8-sig")
        assert table.splitlines()[0].endswith(",sentence,support")
        pasted = "return navigator.clipboard.readText()"
        assert browser.execute_script(pasted).startswith("place\tscore\ttext\tid")
        assert page.problems() == []


def test_a_filter_is_sent_where_the_index_has_columns(browser):
    # What a service with columns answers, put in front of the stand-in, which has none.
    script = """
        const plain = window.fetch;
        window.sent = [];
        window.fetch = async (path, options) => {
            const body = options.body && JSON.parse(options.body);
            if (body) window.sent.push(body);
            const {where, ...rest} = body ?? {};
            const response = await plain(path, {...options, ...(body && {body: JSON.stringify(rest)})});
            const answer = await response.json();
            if (path === "v1/indexes")
                answer.indexes.forEach((each, k) => { each.columns = k ? [] : ["family", "region"]; });
            for (const result of answer.results ?? [])
                result.hits = result.hits.slice(0, where ? 2 : 6)
                    .map((hit) => ({...hit, columns: {family: "logistics"}}));
            return new Response(JSON.stringify(answer), {status: response.status});
        };"""
    with running() as client:
        page = Page(browser, client.port)
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
        browser.get("about:blank")
        browser.get(page.base)
        page.search("nurse")
        page.status("All 6, best first")
        assert browser.execute_script("return window.sent.pop()") == {
            "queries": ["nurse"],
            "index": "skills",
            "top_k": 10,
        }
        assert page.all(".facts")[0].text.endswith("family: logistics")
        assert "family, region" in page.all("#where_hint")[0].text
        field = page.wait("#where")[0]
        field.send_keys("family=logistics; region = north=west;family=care", Keys.ENTER)
        page.status("All 2 that match the filter, best first")
        conditions = {"family": ["logistics", "care"], "region": ["north=west"]}
        assert browser.execute_script("return window.sent.pop().where") == conditions
        assert "where=family%3Dlogistics" in browser.current_url
        browser.refresh()
        page.status("All 2 that match")
        assert page.all("#where")[0].get_property("value").startswith("family=logistics")
        page.all("#where")[0].clear()
        page.all("#where")[0].send_keys("logistics", Keys.ENTER)
        page.status("The filter has \u201clogistics\u201d, which is not COLUMN=VALUE.")
        assert not page.all(".hit")
        page.all("#index option")[1].click()
        assert not page.all("#where")[0].is_displayed()
        page.search("nurse")
        page.asked("nurse in jobs")
        assert "where" not in browser.execute_script("return window.sent.pop()")


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
    with running(limits=Limits(max_queries=2)) as client:
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
    with running((KEY,)) as client:
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
        assert "Internal error" in page.wait("#status.problem")[0].text
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
        assert "/page/docs.js" in page.loaded()
