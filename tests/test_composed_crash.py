"""Models that are made of several, and `kill -9`."""

from lionproc.testing import Server

FALLBACK = """
import pandas as pd
import lionproc as lp

frame = pd.DataFrame({"text": [f"text {n}" for n in range(200)]})
model = lp.Fallback([lp.Model("openai", "m", base_url=url, api_key=key) for url, key in places])
fast = {"adapt": False, "concurrency": 8}
out = frame.llm.process("Say {text}", into="answer", model=model, limits=fast, progress=False)
print(out["answer"].notna().sum(), lp.last_job().stats.sent, out["answer"].nunique())
"""


def test_a_fallback_that_is_killed_sends_again_what_was_in_flight_and_a_rerun_nothing(
    tmp_path, zygotes
):
    def some(body, _):
        return "content_filter" if body["messages"][-1]["content"].endswith(("3", "7")) else None

    with Server(latency_s=0.002, faults=some) as one, Server(latency_s=0.002) as two:
        names = {"places": [[server.base_url, server.key] for server in (one, two)]}
        first = zygotes[0].start(FALLBACK, tmp_path, **names)
        two.wait_for(lambda counters: counters.ok >= 20, 30)
        first.kill()
        again = zygotes[0].run(FALLBACK, tmp_path, **names)
        assert again.status == 0, again.output
        assert again.output.split()[0] == "200"
        # What the first one refused has no answer there: only that is asked there again.
        refused = one.counters.total - one.counters.by_fault.get("content_filter", 0)
        assert 160 <= refused <= 160 + 8
        assert 40 <= two.counters.total <= 40 + 8
        sent = one.counters.total + two.counters.total
        clean = zygotes[0].run(FALLBACK, tmp_path, **names)
        assert clean.output.split() == ["200", "0", "200"], clean.output
        assert one.counters.total + two.counters.total == sent


CASCADE = """
import pandas as pd
import lionproc as lp

frame = pd.DataFrame({"text": [f"text {n}" for n in range(300)]})
models = [lp.Model("openai", "m", base_url=url, api_key=key) for url, key in places]
model = lp.Cascade(models, target=0.9, sample=80)
fast = {"adapt": False, "concurrency": 8}
out = frame.llm.process(
    "Say {text}", into="a", schema=bool, model=model, limits=fast, progress=False
)
print(out["a"].notna().sum(), lp.last_job().stats.sent, lp.last_job().report().facts["threshold"])
"""


def test_a_cascade_that_is_killed_finds_the_same_threshold_and_pays_nothing_twice(
    tmp_path, zygotes
):
    def number(body):
        return int(body["messages"][0]["content"].split()[-1])

    def small(body):
        return {"answer": number(body) % 3 == 0 or number(body) % 20 == 1}

    def sure(body):
        return 0.6 if number(body) % 20 == 1 else 0.9

    def large(body):
        return {"answer": number(body) % 3 == 0}

    with (
        Server(answer=small, confidence=sure, latency_s=0.002) as one,
        Server(answer=large, latency_s=0.002) as two,
    ):
        names = {"places": [[server.base_url, server.key] for server in (one, two)]}
        first = zygotes[0].start(CASCADE, tmp_path, **names)
        two.wait_for(lambda counters: counters.ok >= 40, 30)
        first.kill()
        again = zygotes[0].run(CASCADE, tmp_path, **names)
        assert again.status == 0, again.output
        assert 300 <= one.counters.total <= 300 + 8
        sent, asked = one.counters.total + two.counters.total, two.counters.total
        clean = zygotes[0].run(CASCADE, tmp_path, **names)
        assert clean.output.split()[:2] == ["300", "0"], clean.output
        assert clean.output.split()[2] == again.output.split()[2]
        assert one.counters.total + two.counters.total == sent
        assert 80 <= asked < 80 + 8 + 20
