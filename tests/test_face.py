"""What a person sees who made a mistake: a word about it, under their own line."""

import importlib
import inspect
import pkgutil
import pydoc
import traceback
from typing import Any

import pandas as pd
import pytest
from IPython import version_info
from IPython.core.ultratb import FormattedTB

import lionproc as lp
from lionproc import habits
from lionproc.errors import ArgumentError, ColumnError, ConfigurationError, LimitsError, PromptError
from lionproc.face import face
from lionproc.model import defaults
from lionproc.testing import Server

MODEL = {"model": "openai/m"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-nobody-0123456789")


def frame():
    return pd.DataFrame({"review": ["fine", "bad"], "title": ["a", "b"]})


# Arguments that do not exist

UNKNOWN: list[Any] = [
    (lambda: frame().llm.process("{review}", shema=int, **MODEL), "process() ", "'schema'"),
    (lambda: frame().llm.start("{review}", shema=int, **MODEL), "start() ", "'schema'"),
    (lambda: frame().llm.estimate("{review}", limit={}, **MODEL), "estimate() ", "'limits'"),
    (lambda: frame().llm.preview("{review}", chunksize=2, **MODEL), "preview() ", "'chunk_size'"),
    (lambda: frame().llm.pipeline([], jornal=False), "pipeline() ", "'journal'"),
    (lambda: frame()["review"].llm.process("{value}", shema=int, **MODEL), "process() ", "'schema'"),
    (lambda: frame()["review"].llm.start("{value}", modle="m"), "start() ", "'model'"),
    (lambda: frame()["review"].llm.estimate("{value}", columns=["a"], **MODEL), "estimate() ", "'system'"),
    (lambda: frame()["review"].llm.preview("{value}", chunksize=2, **MODEL), "preview() ", "'chunk_size'"),
    (lambda: lp.Limits(rpm=5), "Limits() ", "'requests_per_minute'"),
    (lambda: lp.Limits(request_per_minute=5), "Limits() ", "'requests_per_minute'"),
    (lambda: lp.Limits(parallel=5), "Limits() ", "There are: 'requests_per_minute', "),
    (lambda: lp.Retry(attempts=1), "Retry() ", "'max_attempts'"),
    (lambda: lp.Budget(dollars=1), "Budget() ", "There are: 'usd', 'tokens', 'requests'"),
    (lambda: lp.Budget(request=1), "Budget() ", "'requests'"),
    (lambda: Server(latency=1), "Server() ", "'latency_s'"),
    (lambda: lp.RateLimitedAPIExecutor(limit_request=5), "RateLimitedAPIExecutor() ", "'limit_requests'"),
    (lambda: lp.ProcessingService("a", "b", request_per_minute=5), "ProcessingService() ", "'requests_per_minute'"),
    (lambda: frame().llm.process("{review}", labels="a", **MODEL), "process() ", 'schema=Literal["a", "b"]'),
    (lambda: frame().llm.start("{review}", temperature=0), "start() ", "model=lp.Model(..., temperature=...)"),
    (lambda: frame().llm.process("{review}", rpm=500, **MODEL), "process() ", "lp.Limits(requests_per_minute=...)"),
    (lambda: lp.configure(concurrency=8), "configure() ", "limits=lp.Limits(concurrency=...)"),
    (lambda: lp.last_job(wait=True), "last_job() ", "'wait'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "called", "near"), UNKNOWN)
def test_an_argument_that_does_not_exist_is_named_with_the_near_one(call, called, near):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value).startswith(f"{called}has no argument '")
    assert near in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ConfigurationError)


def test_every_word_out_of_habit_leads_to_an_argument_that_there_is():
    classes = {"limits": lp.Limits, "model": lp.Model, "budget": lp.Budget, "retry": lp.Retry}
    for name, (_, fields) in habits.FIELDS.items():
        assert name in inspect.signature(frame().llm.process).parameters
        taken = {*inspect.signature(classes[name]).parameters}
        taken |= {"top_p", "seed", "reasoning_effort"} if name == "model" else set()  # of the body
        assert set(fields.values()) <= taken
    arguments = {*inspect.signature(frame().llm.process).parameters, "gold"}
    assert {argument for argument, _, _ in habits.WORDS} <= arguments
    assert not arguments & {word for _, _, words in habits.WORDS for word in words}


def test_more_arguments_without_a_name_than_a_call_takes_are_refused_with_those_that_it_takes():
    with pytest.raises(
        ArgumentError, match=r"^Fallback\(\) takes models without a name, .*; 2 came"
    ):
        lp.Fallback("openai/a", "openai/b")  # type: ignore[misc]
    with pytest.raises(ArgumentError, match=r"process.* takes prompt, into and schema without"):
        frame().llm.process("{review}", "mood", str, "Be brief.")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: frame().llm.process(into="mood"), "process() needs prompt=."),
        (lambda: frame().llm.score("mood"), "score() needs gold=."),
        (lp.Fallback, "Fallback() needs models=."),
        (lambda: frame().llm.process(promt="{review}"), "process() has no argument 'promt'"),
    ],
)
def test_an_argument_that_is_missing_is_named(call, says):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value).startswith(says)


def test_an_accessor_shows_its_verbs_and_names_the_near_one():
    shown = repr(frame().llm)
    assert "every row: process, start, aprocess" in shown
    assert "of a frame that came back: errors, report" in shown
    with pytest.raises(
        AttributeError, match=r"no verb 'proces'\. Did you mean 'process'"
    ) as caught:
        frame()["review"].llm.proces("{value}")  # type: ignore[attr-defined]
    shown = "".join(traceback.format_exception_only(caught.value))
    assert shown.count("Did you mean") == 1  # Python would add its own
    assert not hasattr(frame().llm, "_repr_html_")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("temprature", "temperature"),
        ("api_keys", "api_key"),
        ("base_ulr", "base_url"),
        ("max_token", "max_tokens"),
        ("resoning_effort", "reasoning_effort"),
    ],
)
def test_a_misspelt_argument_of_a_model_does_not_go_into_the_body(written, meant):
    with pytest.raises(ConfigurationError, match=f"{written!r}.*Did you mean '{meant}'"):
        lp.Model("openai/m", **{written: "value"})


@pytest.mark.parametrize(
    "name", ["top_k", "min_p", "user", "guided_json", "max_new_tokens", "mirostat"]
)
def test_what_other_servers_take_still_goes_into_the_body(name):
    assert lp.Model("openai/m", **{name: 1}).params == {name: 1}


# The traceback

MISTAKES: list[Any] = [
    (lambda: frame().llm.process("{revew}", **MODEL), PromptError),
    (lambda: frame().llm.process("{review}", into="title", **MODEL), ColumnError),
    (lambda: frame().llm.start("{review}", chunk_size=0, **MODEL), ConfigurationError),
    (lambda: frame().llm.errors(), ConfigurationError),  # noqa: PLW0108
    (lambda: frame()["review"].llm.process("{revew}", **MODEL), PromptError),
    (lambda: lp.Limits(concurrency=0), LimitsError),
    (lambda: lp.Budget(usd=-1), ConfigurationError),
    (lambda: lp.configure(modell="local"), ConfigurationError),
    (lambda: lp.read_parquet("nowhere.parquet"), Exception),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind"), MISTAKES)
def test_a_mistake_shows_the_persons_own_line_and_one_of_ours(call, kind):
    with pytest.raises(kind) as caught:
        call()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [f.filename for f in frames[:-1]] == [__file__] * (len(frames) - 1)
    assert frames[-1].filename == face.__code__.co_filename
    plain = {"theme_name": "nocolor"} if version_info >= (9,) else {"color_scheme": "NoColor"}
    shown = FormattedTB(mode="Context", **plain).text(
        kind, caught.value, caught.value.__traceback__
    )
    assert shown.count("/lionproc/") == 1
    assert (
        inspect.getsource(call).split("lambda: ")[1].split(", **MODEL")[0].split("), ")[0][:20]
        in shown
    )


async def test_a_mistake_in_what_is_awaited_shows_the_persons_own_line_too():
    with pytest.raises(PromptError) as caught:
        await frame().llm.aprocess("{revew}", **MODEL)
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 2


def test_the_whole_way_is_in_the_log_for_whoever_asks(caplog):
    with caplog.at_level("DEBUG", logger="lionproc"), pytest.raises(PromptError):
        frame().llm.process("{revew}", **MODEL)
    assert "plan_arguments.py" in caplog.text


def test_what_was_given_is_not_in_the_frame_that_is_shown():
    with pytest.raises(ConfigurationError) as caught:
        frame().llm.process("{revew}", model=lp.Model("openai/m", api_key="sk-secret-0123456789"))
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    last = shown.stack[-1]
    assert "kwargs" not in (last.locals or {})
    assert "args" not in (last.locals or {})


def test_a_face_has_the_signature_and_the_words_of_what_it_stands_for():
    assert list(inspect.signature(lp.Limits).parameters)[:2] == [
        "requests_per_minute",
        "tokens_per_minute",
    ]
    assert "schema" in inspect.signature(pd.DataFrame().llm.process).parameters
    assert "Ask the model about every row" in pd.DataFrame().llm.process.__doc__


# The name it stumbled over


def test_the_key_that_a_prompt_function_missed_is_named():
    with pytest.raises(PromptError, match="raised KeyError: 'titel'"):
        frame().llm.process(lambda row: row["titel"], **MODEL)
    with pytest.raises(PromptError, match="raised NameError: 'rwo'"):
        frame().llm.process(lambda row: rwo["title"], **MODEL)  # noqa: F821


def test_a_cell_that_is_no_key_of_a_table_is_not_told():
    table = {"good": 1}
    with pytest.raises(PromptError, match="raised KeyError") as caught:
        frame().llm.process(lambda row: str(table[row["review"]]), **MODEL)
    assert "fine" not in str(caught.value)


def test_the_names_of_all_faults_are_listed_down_to_the_last():
    with pytest.raises(ConfigurationError) as caught:
        Server(faults=["trunctd"])
    assert "'length'" in str(caught.value)
    assert "..." not in str(caught.value)


# Other words


def test_help_finds_on_the_class_what_it_finds_on_a_frame():
    for kind, accessor in ((pd.DataFrame, "FrameAccessor"), (pd.Series, "SeriesAccessor")):
        shown = pydoc.render_doc(kind.llm.process, renderer=pydoc.plaintext)
        assert "prompt" in shown
        assert "Args:" in shown
        assert {"process", "errors", "report"} <= set(dir(kind.llm))
        assert kind.llm.process.__qualname__ == f"{accessor}.process"
    with pytest.raises(AttributeError):
        pd.DataFrame.llm.proces  # noqa: B018


def test_a_job_says_what_it_does_how_far_it_is_and_what_it_can():
    with Server(faults=["400"]) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        server.hold()
        job = frame().llm.start("{review}", into="mood", model=model, progress=False)
        server.wait_for(lambda counters: counters.in_flight == 2)
        assert repr(job).startswith("<Job running, mood with openai/m: 0 of 2 rows, 2 requests")
        assert ".frame(), pause(), stop()" in repr(job)
        server.release()
        job.wait(20)
        assert repr(job).startswith("<Job done, mood with openai/m: 2 of 2 rows, 1 failed, ")
        assert ".frame(), errors(), report(), result()" in repr(job)
        assert "<table" in job._repr_html_()


@pytest.mark.parametrize(
    ("usd", "said"),
    [
        (0.0005, "$0.0005"),
        (0.1, "$0.10"),
        (5, "$5.00"),
        (1234.5, "$1,234.50"),
        (1e-7, "$0.0000001"),
    ],
)
def test_a_small_budget_is_not_called_nothing(usd, said):
    assert lp.Budget(usd=usd).reached(usd=1e6, tokens=0, requests=0) == said


def test_an_estimate_changes_no_limits_and_looks_at_those_it_is_given():
    model = lp.Model("openai/m")
    before = model.limiter.limits
    rows = pd.DataFrame({"review": [f"review {n}" for n in range(50)]})
    seen = rows.llm.estimate("{review}", model=model, limits={"requests_per_minute": 10})
    assert seen.minutes == 5
    assert model.limiter.limits is before
    assert rows.llm.estimate("{review}", model=model).minutes is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"chunk_size": "many"},
        {"chunk_size": 0},
        {"journal": 3.5},
        {"journal": True},
        {"budget": 5},
        {"budget": {"dollars": 5}},
        {"progress": "no"},
        {"panel": 1},
        {"retry": 3},
        {"limits": 60},
        {"limits": {"rpm": 60}},
        {"model": 7},
    ],
)
def test_a_default_that_cannot_be_is_refused_and_none_is_set(wrong):
    good = {"chunk_size": 77, "progress": False}
    with pytest.raises(ConfigurationError):
        lp.configure(**{**good, **wrong})
    assert defaults._session == {}


def test_the_errors_of_the_package_are_all_in_one_place():
    for module in pkgutil.walk_packages(lp.__path__, "lionproc."):
        if module.name.endswith("__main__") or module.name.startswith("lionproc.testing"):
            continue  # what a test of one's own may raise is no error of a run
        loaded = importlib.import_module(module.name)
        for name, value in vars(loaded).items():
            if isinstance(value, type) and issubclass(
                value, (lp.errors.LionprocError, lp.errors.LionprocWarning)
            ):
                assert getattr(lp.errors, name, None) is value, f"{module.name}.{name}"
                assert name in lp.errors.__all__
