"""Votes and confidences that cannot be are refused before anything is sent."""

from __future__ import annotations

from lionproc.engine.told import warn
from lionproc.errors import ConfidenceWarning, ConfigurationError, ModelError
from lionproc.frame.stage import Stage
from lionproc.model.confidence import WAY_ON, Confidences
from lionproc.model.model import Model

__all__ = ["check_stage"]


def check_stage(stage: Stage) -> Stage:
    """Refuse votes and confidences that cannot be, and warn of votes that cannot differ.

    Args:
        stage: What is asked, and of whom.

    Raises:
        ConfigurationError: They cannot be; nothing was sent.
    """
    votes, sure = stage.votes, stage.confidence
    if isinstance(votes, bool) or not isinstance(votes, int) or votes < 1:
        raise ConfigurationError(
            f"votes is how often each row is asked, a whole number like 5 (1 for once), not {votes!r}."
        )
    if stage.tie not in {"na", "first"}:
        raise ConfigurationError(f"tie is 'na' or 'first', not {stage.tie!r}.")
    if not isinstance(sure, bool):
        raise ConfigurationError(f"confidence is True or False, not {sure!r}.")
    if sure and votes > 1:
        raise ConfigurationError(
            "confidence=True and votes= both say how sure an answer is, in the same column: take "
            "the log-probabilities of one answer, or the share of several."
        )
    leaves = getattr(stage.model, "leaves", (stage.model,))
    if sure:
        Confidences.of(stage.answer)
        for model in leaves:
            _must_give_logprobs(model)
    if votes > 1:
        for model in leaves:
            _warn_of_equal_votes(model, votes)
    return stage


def _must_give_logprobs(model: Model) -> None:
    if not model.gives_logprobs:
        raise ModelError(
            f"{model.provider} gives no log-probabilities, so confidence=True cannot say how sure "
            f"{model.model} is. {WAY_ON}"
        )


def _warn_of_equal_votes(model: Model, votes: int) -> None:
    fixed = {"temperature": 0} if model.temperature == 0 else {}
    fixed |= {"seed": model.params["seed"]} if model.params.get("seed") is not None else {}
    for name, value in fixed.items():
        warn(
            f"votes={votes} asks the same {votes} times, and with {name}={value!r} the answers "
            f"hardly differ, so that their share says little. Leave {name} out for votes.",
            ConfidenceWarning,
        )
        return
