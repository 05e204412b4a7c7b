"""The arguments of the verbs: one list of them, whoever looks."""

import ast
import inspect
import pydoc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lionproc.frame import accessor, run_options
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.run_options import PipelineOptions, RunOptions, SeriesOptions, words_of
from lionproc.frame.series_accessor import SeriesAccessor

PROCESS = inspect.signature(FrameAccessor.process).parameters
BEFORE = ("self", "prompt", "into", "schema")
VERBS: list[Any] = [
    (FrameAccessor.start, RunOptions),
    (FrameAccessor.aprocess, RunOptions),
    (FrameAccessor.estimate, RunOptions),
    (FrameAccessor.preview, RunOptions),
    (FrameAccessor.pipeline, PipelineOptions),
    (SeriesAccessor.process, SeriesOptions),
    (SeriesAccessor.start, SeriesOptions),
    (SeriesAccessor.aprocess, SeriesOptions),
    (SeriesAccessor.estimate, SeriesOptions),
    (SeriesAccessor.preview, SeriesOptions),
]
each_verb = pytest.mark.parametrize(("verb", "options"), VERBS, ids=lambda v: v.__qualname__)


def test_process_the_typed_options_and_the_defaults_name_the_same_arguments():
    assert set(PROCESS) == {*BEFORE, *RunOptions.__annotations__}
    assert set(accessor.DEFAULTS) == {"into", "schema", *RunOptions.__annotations__}
    assert RunOptions.__required_keys__ == frozenset()
    types = {name: ref.__forward_arg__ for name, ref in RunOptions.__annotations__.items()}
    assert types == {name: PROCESS[name].annotation for name in types}


def test_the_typed_options_say_of_each_argument_what_process_says():
    said = {}
    for node in ast.walk(ast.parse(Path(run_options.__file__).read_text())):
        if isinstance(node, ast.ClassDef):
            for key, doc in zip(node.body[1::2], node.body[2::2], strict=True):
                said[key.target.id] = doc.value.value.split()
    words = {
        name: words.split(":", 1)[1].split()
        for name, words in words_of(FrameAccessor.process).items()
    }
    assert said == {name: words[name] for name in RunOptions.__annotations__}


def test_process_hands_on_every_argument(monkeypatch):
    taken = []

    def stop_here(self, prompt, into, schema, options):
        taken.append({"prompt": prompt, "into": into, "schema": schema, **options})
        raise LookupError

    monkeypatch.setattr(FrameAccessor, "_plan", stop_here)
    given = {name: object() for name in PROCESS if name != "self"}
    with pytest.raises(LookupError):
        FrameAccessor(pd.DataFrame()).process(**given)
    assert taken == [given]


@each_verb
def test_every_verb_shows_its_options_with_the_defaults_and_types_of_process(verb, options):
    shown = inspect.signature(verb).parameters
    assert all(parameter.kind is not parameter.VAR_KEYWORD for parameter in shown.values())
    assert set(options.__annotations__) <= set(shown)
    assert set(shown) <= {*BEFORE, "stages", "n", "sample", "seed", *options.__annotations__}
    for name in options.__annotations__:
        assert shown[name] == PROCESS[name]
    for name in {"schema", "into"} & set(shown):
        if verb.__qualname__.startswith("Frame"):
            assert shown[name] == PROCESS[name]
    if "schema" in shown:
        assert shown["schema"].default is PROCESS["schema"].default


@each_verb
def test_help_explains_every_argument_of_every_verb(verb, options):
    page = pydoc.render_doc(verb, renderer=pydoc.plaintext)
    assert {"self", *words_of(verb)} == set(inspect.signature(verb).parameters)
    assert "**options" not in page
    assert "As for `process`.\n" not in page
    assert "False for nowhere on disk." in page
