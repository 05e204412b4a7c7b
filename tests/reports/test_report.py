"""What a report says of a run, beside what the server saw."""

import copy
import gc
import json
import pickle
import warnings
import weakref
from html.parser import HTMLParser

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import MissingDependencyError, SaveError
from lionproc.reports.plot import figure
from lionproc.testing import Server

QUIET = {"progress": False}
SYSTEM = "Say what the review is about, in one word. " * 220  # about 2,400 tokens
SECRET = "Ada Lovelace <ada@example.org>"  # noqa: S105  (what nobody shall read)


def served(server, **more):
    return lp.Model("openai/gpt-5-mini", base_url=server.base_url, api_key=server.key, **more)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run in which everything happens: equal rows, a journal, a tier, retries, errors."""
    journal = str(tmp_path_factory.mktemp("journal") / "j.sqlite")
    texts = [f"{SECRET} review {n}: " + "good " * (n % 9) for n in range(40)] + ["the same"] * 5
    frame = pd.DataFrame({"text": texts}, index=[f"{SECRET} {n}" for n in range(45)])
    asked = {"into": "about", "system": SYSTEM, "journal": journal, **QUIET}
    with Server(prices="openai", answer="wine", latency_s=0.01) as server:
        asked["model"] = served(server, service_tier="flex")
        asked |= {"retry": lp.Retry(base_s=0.01), "details": True}
        frame.head(10).llm.process("{text}", **asked)
        before = float(server.bill.usd)

        def faults(body, n):
            text = body["messages"][-1]["content"]
            if "review 39:" in text:
                return "400"
            return "429" if n in {12, 13} else "500" if n == 15 else None

        server.configure(faults=faults)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = frame.llm.process("{text}", **asked, limits=lp.Limits(requests_per_minute=60_000))
        bill, whole = float(server.bill.usd), server.counters.total
    return out, out.llm.report(), bill - before, before, whole


def test_a_report_counts_what_the_server_saw(ran):
    _, report, bill, _, whole = ran
    assert (report.rows, report.answered, report.cached, report.failed) == (45, 44, 10, 1)
    assert report.requests == whole - 10
    assert report.usd == pytest.approx(bill)
    assert report.retries == 3
    assert dict(report.retried_for) == {"rate_limited": 2, "server_error": 1}
    assert dict(report.errors) == {"bad_request": 1}
    assert report.cached_tokens > 20_000
    assert report.reasoning_tokens == 0
    assert report.input_tokens > report.cached_tokens
    half, most, longest = (report.latency[name] for name in ("p50", "p95", "longest"))
    assert 0.01 <= half <= most <= longest


def test_a_report_can_be_copied_and_pickled(ran):
    _, report, *_ = ran
    for twin in (copy.deepcopy(report), pickle.loads(pickle.dumps(report))):  # noqa: S301  (made here)
        assert (twin.errors, twin.usd, twin.stats) == (report.errors, report.usd, report.stats)


def test_what_was_saved_is_what_the_price_list_says(ran):
    _, report, bill, before, _ = ran
    saved = report.usd_saved
    assert saved["journal"] == pytest.approx(before)
    usual = lp.Price(input=0.25, output=2.0, cached_input=0.025)
    read, cached, wrote = report.input_tokens, report.cached_tokens, report.output_tokens
    assert saved["prompt_cache"] == pytest.approx(cached * (0.25 - 0.025) / 2 / 1e6)
    assert saved["tier"] == pytest.approx((read * 0.25 + wrote * 2) / 2 / 1e6)
    whole = (read * usual.input + wrote * usual.output) / 1e6
    assert bill + saved["prompt_cache"] + saved["tier"] == pytest.approx(whole)
    assert saved["deduplication"] == pytest.approx(4 * bill / 30, rel=0.6)  # four rows of five
    assert saved["batch"] == 0


def test_the_rows_that_stand_out_are_found(ran):
    out, report, *_ = ran
    slow, dear = report.slowest, report.most_expensive
    assert len(slow) == len(dear) == 10
    assert slow["seconds"].is_monotonic_decreasing
    assert dear["usd"].is_monotonic_decreasing
    assert (slow["position"] >= 10).all()  # not one that the journal answered
    assert all(out.index[row.position] == row.index for row in dear.itertuples())


def test_a_report_is_data(ran):
    _, report, *_ = ran
    data = json.loads(json.dumps(report.as_dict()))
    assert data["usd"] == report.usd
    assert data["state"] == "done"
    assert data["retried_for"]["rate_limited"] == 2
    assert sum(point["refused"] for point in data["over_time"]) == 2
    assert len(data["over_time"]) <= 48


def test_the_card_and_the_text_say_the_same(ran):
    _, report, *_ = ran
    text, card = repr(report), report._repr_html_()
    for said in ("by the journal", "by equal rows", "by the provider's prompt cache",
                 "by the tier", "half within", "2 rate limited", "slowest", "dearest"):  # fmt: skip
        assert said in text
        assert said.replace("'", "&#x27;") in card
    assert SECRET not in card  # escaped


class Page(HTMLParser):
    """A page as a reader without JavaScript and without a network has it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.links = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset"}]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def test_a_page_has_numbers_and_nothing_that_was_not_meant_to_be_shared(ran, tmp_path):
    _, report, *_ = ran
    path = report.to_html(tmp_path / "new" / "report.html")
    raw = path.read_text(encoding="utf-8")
    page = Page(raw)
    assert "44 of 45 answered" in page.text
    assert "The answers of openai/gpt-5-mini in about" in page.words  # no columns of details
    assert "by the provider's prompt cache" in page.text
    assert "svg" in page.tags
    assert not page.links
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form"}
    for private in ("Ada", "Lovelace", "Say what the review", "{text}", "Rows without", ".sqlite",
                    str(tmp_path), "the same"):  # fmt: skip
        assert private not in raw, private


def test_a_page_has_prompts_and_cells_where_they_are_asked_for_and_escapes_them(ran, tmp_path):
    _, report, *_ = ran
    page = Page(report.to_html(tmp_path / "a.html", prompt=True).read_text())
    assert "Say what the review is about" in page.text
    assert "Ada" not in page.text
    raw = report.to_html(tmp_path / "a.html", cells=True).read_text()
    assert "Rows without an answer" in raw
    assert f"{SECRET} 39" in Page(raw).text
    assert "<ada@" not in raw
    assert "Say what the review" not in raw
    assert ".sqlite" not in raw


def test_nothing_untrusted_becomes_html_on_a_page(tmp_path):
    script = "<script>alert('1')</script>"
    with Server(faults=lambda body, _: "400" if "bad" in str(body) else None, key=None) as server:
        model = lp.Model("openai", script, base_url=server.base_url)
        frame = pd.DataFrame({script: ["good", f"bad {script}"]}, index=[script, script + "2"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = frame.llm.process(f"{{{script}}}", into=script + "a", system=script, model=model,
                                    journal=False, **QUIET)  # fmt: skip
    path = out.llm.report().to_html(tmp_path / "r.html", prompt=True, cells=True)
    page = Page(path.read_text())
    assert "script" not in page.tags
    assert script in page.text


def test_a_page_that_cannot_be_written_is_an_error_of_ours(ran, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError):
        ran[1].to_html(tmp_path / "file" / "report.html")


def test_a_run_that_is_remembered_has_its_failed_rows_on_its_page(model, server, tmp_path):
    server.configure(faults=["400"])
    frame, journal = pd.DataFrame({"text": ["one", "two"]}), tmp_path / "j.sqlite"
    with pytest.warns(lp.errors.RowsFailedWarning):
        frame.llm.process("Say {text}", into="a", model=model, journal=journal, name="x",
                          limits={"concurrency": 1}, progress=False)  # fmt: skip
    page = lp.run("x", journal).report().to_html(tmp_path / "page.html", cells=True)
    assert "Rows without an answer" in page.read_text()


def test_a_model_that_is_called_like_a_formula_is_drawn_as_it_is_called(tmp_path):
    figure(r"$\frac{$, 4 rows", []).savefig(tmp_path / "drawn.svg")


def test_a_plot_shows_the_limit_the_latency_the_tokens_and_what_went_wrong(ran):
    figure = ran[1].plot()
    figure.canvas.draw()
    for axis in figure.axes:
        beside = [label.get_text() for label in axis.get_yticklabels()]
        assert len(set(beside)) == len(beside)  # no two lines of the grid are called alike
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [
        "Requests per minute",
        "Seconds until the reply",
        "Tokens per minute",
        "What went wrong",
    ]
    names = {line.get_label() for axis in figure.axes for line in axis.lines}
    assert {
        "requests",
        "half within",
        "95 % within",
        "input",
        "refused (429)",
        "rows failed",
    } <= names
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_without_matplotlib_the_way_on_is_told(ran, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"lionproc\[plot\].*to_html"):
        ran[1].plot()


def test_what_is_not_known_is_neither_nothing_nor_free(tmp_path):
    with Server(answer="wine") as server:
        model = lp.Model("openai/mystery", base_url=server.base_url, api_key=server.key)
        frame = pd.DataFrame({"text": ["a", "a", "b"]})
        out = frame.llm.process("{text}", into="about", model=model, journal=False, **QUIET)
        again = frame.head(0).llm.process(
            "{text}", into="about", model=model, journal=False, **QUIET
        )
    report = out.llm.report()
    assert (
        report.usd is report.usd_saved["deduplication"] is report.usd_saved["prompt_cache"] is None
    )
    assert report.usd_saved["journal"] == 0
    assert json.loads(json.dumps(report.as_dict()))["slowest"][0]["usd"] is None
    assert "unknown" in report.to_html(tmp_path / "r.html").read_text()
    nothing = again.llm.report()
    assert set(nothing.latency.values()) == {None}
    assert nothing.slowest.empty
    assert "half within" not in repr(nothing)
    assert nothing.plot().axes
    assert "<svg" not in nothing.to_html(tmp_path / "n.html").read_text()


def test_a_report_keeps_nothing_of_the_rows_it_is_about(tmp_path):
    with Server(prices="openai", answer="wine") as server:
        frame = pd.DataFrame({"text": ["a", "b"]})
        job = frame.llm.start("{text}", into="about", model=served(server), journal=False, **QUIET)
        job.result(10)
    report, known = job.report(), weakref.ref(job)
    frame.llm.start("{text}", into="about", model=served(server), journal=False, **QUIET).stop()
    del job
    gc.collect()
    assert known() is None
    assert report.answered == 2
