import asyncio
import json
from typing import Literal

import pytest

import lionproc as lp
from lionproc.errors import CallError, ConfigurationError, Kind, ModelError
from lionproc.service import records
from lionproc.service.records import RecordError


def sent(server):
    return [json.loads(request.raw_body)["messages"] for request in server.requests]


async def test_chat_sends_the_system_prompt_and_what_was_said_before(server, model):
    branch = lp.Branch(name="Editor", system="You edit.")
    branch.add_model(model)
    assert await branch.chat("one") == "echo: one"
    assert await branch.chat("two") == "echo: two"
    assert [message["content"] for message in sent(server)[1]] == [
        "You edit.",
        "one",
        "echo: one",
        "two",
    ]
    assert branch.messages[-1] == {"role": "assistant", "content": "echo: two"}


async def test_ask_sends_no_history_and_leaves_none(server, model):
    branch = lp.Branch(system="You edit.", model=model)
    await branch.chat("one")
    before = branch.messages
    await branch.ask("by the way")
    assert branch.messages == before
    assert [message["role"] for message in sent(server)[1]] == ["system", "user"]


async def test_a_failed_turn_leaves_the_history_as_it_was(server, model):
    branch = lp.Branch(model=model)
    await branch.chat("one")
    before = branch.messages
    server.configure(faults=["content_filter"])
    with pytest.raises(CallError):
        await branch.chat("two")
    assert branch.messages == before


async def test_chat_can_ask_for_a_type(server, model):
    server.configure(answer={"answer": "good"})
    branch = lp.Branch(model=model)
    assert await branch.chat("How is it?", schema=Literal["good", "bad"]) == "good"
    assert branch.messages[-1]["content"] == "good"


async def test_several_turns_at_once_each_go_on_from_what_was_said(server, model):
    branch = lp.Branch(model=model)
    await branch.chat("first")
    server.hold()
    turns = [asyncio.create_task(branch.chat(f"turn {number}")) for number in range(8)]
    await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 8)
    server.release()
    await asyncio.gather(*turns)
    assert all(len(messages) == 3 for messages in sent(server)[1:])
    said = branch.messages
    assert len(said) == 18
    for question, answer in zip(said[::2], said[1::2], strict=True):
        assert answer["content"] == f"echo: {question['content']}"


async def test_several_branches_share_one_model_and_its_executors_limit(server, departures):
    executor = lp.RateLimitedAPIExecutor(limit_requests=10, interval=1)
    model = lp.Model(
        "openai", model="m", base_url=server.base_url, api_key=server.key, executor=executor
    )
    branches = [lp.Branch(str(number), model=model) for number in range(15)]
    await asyncio.gather(*(branch.chat(branch.name) for branch in branches))
    assert departures.worst_window(0.95) <= 10
    assert executor.status_counts()["completed"] == 15


async def test_max_turns_bounds_what_is_sent_along(server, model):
    branch = lp.Branch(model=model, max_turns=1)
    for number in range(4):
        await branch.chat(str(number))
    assert [message["content"] for message in sent(server)[-1]] == ["2", "echo: 2", "3"]
    assert len(branch.messages) == 8


async def test_a_conversation_longer_than_the_model_reads_goes_on_with_its_latest_part(
    server, model, caplog
):
    server.configure(faults=lambda body, _: "context_length" if len(body["messages"]) > 8 else None)
    branch = lp.Branch("Editor", "You edit.", model=model)
    for number in range(12):
        assert await branch.chat(f"turn {number}") == f"echo: turn {number}"
    assert len(branch.messages) == 1 + 24
    last = [message["content"] for message in sent(server)[-1]]
    assert last[0] == "You edit."
    assert last[-3:] == ["turn 10", "echo: turn 10", "turn 11"]
    assert all(messages[1]["role"] == "user" for messages in sent(server))
    # Halves are left out, so few requests are refused.
    assert len(server.requests) <= 12 + 4
    assert "longer than the model reads" in caplog.text


@pytest.mark.parametrize(("max_tokens", "asked"), [(None, 2), (50, 1)])
async def test_an_answer_cut_off_after_a_long_history_is_asked_again_once_with_half_of_it(
    server, model, max_tokens, asked
):
    branch = lp.Branch(model=model)
    for number in range(4):
        await branch.chat(f"turn {number}")
    branch.add_model(
        lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, max_tokens=max_tokens)
    )
    before = len(server.requests)
    server.configure(faults=lambda body, _: "length" if len(body["messages"]) > 3 else None)
    with pytest.raises(CallError) as caught:
        await branch.chat("last")
    assert caught.value.kind is Kind.TRUNCATED
    assert len(server.requests) - before == asked
    if max_tokens is None:
        assert await branch.chat("last") == "echo: last"


async def test_a_text_that_is_too_long_by_itself_is_an_error(server, model):
    branch = lp.Branch(model=model)
    await branch.chat("one")
    server.configure(faults=lambda *_: "context_length")
    with pytest.raises(CallError) as caught:
        await branch.chat("two")
    assert caught.value.kind is Kind.CONTEXT_LENGTH
    assert len(branch.messages) == 2


@pytest.mark.parametrize("ends", ["context_length", "length"])
async def test_after_a_turn_that_failed_for_its_length_all_of_the_conversation_is_sent_as_before(
    server, model, ends
):
    branch = lp.Branch(model=model)
    for number in range(4):
        await branch.chat(f"turn {number}")
    server.configure(faults=lambda body, _: ends if "novel" in str(body["messages"][-1]) else None)
    with pytest.raises(CallError):
        await branch.chat("a novel")
    assert await branch.chat("turn 4") == "echo: turn 4"
    assert sent(server)[-1] == branch.messages[:-1]


async def test_a_conversation_is_saved_restored_copied_and_cleared(server, model, tmp_path):
    branch = lp.Branch("Editor", "You edit.", model=model, max_turns=3)
    await branch.chat("one")
    branch.save(tmp_path / "talk.json")
    assert (tmp_path / "talk.json").stat().st_mode & 0o777 == 0o600
    assert server.key not in (tmp_path / "talk.json").read_text()
    again = lp.Branch.load(tmp_path / "talk.json", model=model)
    assert (again.name, again.max_turns, again.messages) == ("Editor", 3, branch.messages)
    other = again.copy()
    await other.chat("two")
    assert len(again.messages) == 3
    assert len(other.messages) == 5
    other.clear()
    assert other.messages == [{"role": "system", "content": "You edit."}]


async def test_a_conversation_about_very_many_brackets_is_restored(model, tmp_path):
    branch = lp.Branch(model=model)
    await branch.chat("{" * 400_000)
    branch.save(tmp_path / "talk.json")
    assert lp.Branch.load(tmp_path / "talk.json").messages == branch.messages


async def test_a_conversation_that_would_not_be_read_again_is_not_saved(
    model, tmp_path, monkeypatch
):
    branch = lp.Branch(model=model)
    branch.save(tmp_path / "talk.json")
    await branch.chat("a" * 2000)
    monkeypatch.setattr(records, "LARGEST", 1000)
    with pytest.raises(RecordError, match=r"branch\.clear\(\) begins another"):
        branch.save(tmp_path / "talk.json")
    assert lp.Branch.load(tmp_path / "talk.json").messages == []


@pytest.mark.parametrize("content", ["", "[]", '{"messages": [{"role": "king", "content": "x"}]}'])
def test_a_file_that_holds_no_conversation_is_refused(tmp_path, content):
    (tmp_path / "talk.json").write_text(content)
    with pytest.raises((RecordError, ConfigurationError), match=r"talk\.json|role"):
        lp.Branch.load(tmp_path / "talk.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('"max_turns": "x", "messages": []', "count from 0 up"),
        ('"max_turns": 1.5, "messages": []', "count from 0 up"),
        (
            '"messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}]',
            "one system prompt, and these messages have 2",
        ),
    ],
)
def test_a_file_that_somebody_edited_loses_no_part_in_silence(tmp_path, content, words):
    (tmp_path / "talk.json").write_text(f"{{{content}}}")
    with pytest.raises(ConfigurationError, match=words):
        lp.Branch.load(tmp_path / "talk.json")


async def test_without_a_model_the_error_names_the_ways_to_set_one():
    with pytest.raises(ModelError, match="configure"):
        await lp.Branch().chat("hello")


async def test_the_sessions_model_is_used_where_none_was_added(server, model):
    lp.configure(model=model)
    try:
        assert await lp.Branch().ask("hello") == "echo: hello"
    finally:
        lp.configure(model=None)


async def test_a_mended_key_works_again_after_a_refused_one(server, model):
    branch = lp.Branch(model=model)
    server.configure(faults=["401"])
    with pytest.raises(CallError) as raised:
        await branch.chat("one")
    assert raised.value.kind is Kind.ACCESS
    assert await branch.chat("one") == "echo: one"


@pytest.mark.parametrize("text", ["", "  ", None, 3])
async def test_what_is_said_is_a_text(model, text):
    with pytest.raises(ConfigurationError):
        await lp.Branch(model=model).chat(text)
