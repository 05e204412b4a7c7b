"""Answers that take very different times are no queue."""

from __future__ import annotations

import random

from lionproc.engine.reservation import Reservation
from lionproc.engine.server_pace import ServerPace
from lionproc.engine.tokens import Tokens


def test_answers_of_very_different_lengths_cost_a_new_run_no_slots():
    cut = 0
    for seed in range(20):
        rng, pace = random.Random(seed), ServerPace()
        for number in range(300):
            seconds = rng.uniform(0.2, 0.8)
            reservation = Reservation(number, 0.0, 0, Tokens(1, 1), 0, (0.0,) * 4, None)
            pace.replied(reservation, seconds, number / 100, 64, in_flight=40)
        cut += pace.adaptive.cap is not None
    assert cut <= 1
