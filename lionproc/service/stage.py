"""`ProcessingStage`: what a stage of a pipeline does, validated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError, field_validator

from lionproc.errors import ConfigurationError, LionprocError, did_you_mean
from lionproc.model.answer import Answer
from lionproc.model.model import Model
from lionproc.service.form import Field, Form, what_is_wrong
from lionproc.service.prompt import SYSTEM, Prompt
from lionproc.service.records import checked_name


class ProcessingStage(Form):
    """One stage of a pipeline.

    Example:
        >>> stage = ProcessingStage(name="Mood", type="text", schema={"type": "string"})
        >>> stage.rate_limit is None
        True
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    name: str = Field(description="What the stage is called; also its folder")
    type: Literal["text", "numeric", "mixed"] = Field("mixed", description="The kind of data")
    options: dict[str, Any] = Field(
        default_factory=dict, description="What to do with it; told to the model"
    )
    schema: Any = Field(
        None, description="The answer's type: a JSON Schema or any type of df.llm.process"
    )
    rate_limit: float | None = Field(
        None, gt=0, description="Requests in any minute, for this stage alone"
    )
    model: Any = Field(None, description='An lp.Model or "provider/model"; None: the pipeline\'s')
    prompt: str | Callable[[Any], Any] | None = Field(
        None, description="A template or a function of the data, instead of type and options"
    )
    system: str | None = Field(SYSTEM, description="The system prompt")
    input_schema: Any = Field(None, description="What the data has to look like to be sent")
    input: Literal["result", "all"] = Field(
        "result",
        description='What is processed: the answer of the stage before, or "all" there is: '
        "the item and the answers so far",
    )
    concurrency: int = Field(32, ge=1, description="Requests in flight at once")
    examples: Any = Field(None, description="As for df.llm.process; for df.llm.pipeline alone")
    confidence: bool = Field(False, description="As for df.llm.process; for df.llm.pipeline alone")
    votes: int = Field(1, ge=1, description="As for df.llm.process; for df.llm.pipeline alone")
    tie: Literal["na", "first"] = Field("na", description="What votes that tie come to")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        try:
            return checked_name(name)
        except LionprocError as error:
            raise ValueError(str(error)) from None

    @field_validator("schema", "input_schema")
    @classmethod
    def _schema(cls, schema: object) -> Any:
        if schema is not None:
            Answer.of(schema)
        return schema

    @field_validator("model")
    @classmethod
    def _model(cls, model: Any) -> object:
        return None if model is None else Model.of(model)

    @classmethod
    def of(cls, config: ProcessingStage | Mapping[str, Any]) -> ProcessingStage:
        """The stage meant by an argument.

        Raises:
            ConfigurationError: It is no stage; the message says what is wrong with which field.
        """
        if isinstance(config, ProcessingStage):
            return config
        if not isinstance(config, Mapping):
            raise ConfigurationError(
                f"A stage is a dict or a ProcessingStage, not {_kind(config)}."
            )
        for field in config:
            if field not in cls.model_fields:
                raise ConfigurationError(
                    f"A stage has no {field!r}.{did_you_mean(field, cls.model_fields)}"
                )
        try:
            return cls(**config)
        except ValidationError as error:
            raise ConfigurationError(f"The stage is invalid: {what_is_wrong(error)}.") from None

    @property
    def of_frames(self) -> list[str]:
        """Fields it was given that a frame has columns for, and a record of a service has not."""
        usual: dict[str, object] = {"examples": None, "confidence": False, "votes": 1}
        return [name for name, value in usual.items() if getattr(self, name) is not value]

    def prompt_maker(self) -> Prompt:
        """What makes this stage's messages.

        Raises:
            PromptError: The template cannot be.
        """
        return Prompt(self.system, self.prompt, self.type, self.options)


def _kind(value: object) -> str:
    return type(value).__name__
