"""Put an LLM to work on the columns of a DataFrame.

Importing lionproc gives frames and series an `.llm`:

```python
import pandas as pd
import lionproc as lp

df = pd.DataFrame({"review": ["A joy to use.", "Broke on day two."]})
df.llm.process("Is this positive? {review}", into="positive", schema=bool, model="local")
```
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from lionproc import errors
from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.engine.stats import RunStats
from lionproc.pandas_accessors import register as _register

if _TYPE_CHECKING:
    from lionproc.engine.executor import RateLimitedAPIExecutor
    from lionproc.evaluation.comparison import Comparison
    from lionproc.evaluation.review_file import read_review
    from lionproc.evaluation.score import Score
    from lionproc.frame.estimate import Estimate
    from lionproc.frame.job import Job, last_job
    from lionproc.frame.parquet_reader import read_facts, read_parquet
    from lionproc.frame.preview import Preview
    from lionproc.frame.register import register
    from lionproc.frame.shared_limits import limits_panel
    from lionproc.model.cascade import Cascade
    from lionproc.model.composed import Fallback
    from lionproc.model.defaults import configure
    from lionproc.model.model import Model
    from lionproc.model.pool import Pool
    from lionproc.model.prices import Price
    from lionproc.notebook.limits_panel import LimitsPanel
    from lionproc.reports.journal_care import journal
    from lionproc.reports.report import Report
    from lionproc.reports.runs import run, runs
    from lionproc.service import types
    from lionproc.service.batch import BatchProcessor
    from lionproc.service.branch import Branch
    from lionproc.service.form import Field, Form
    from lionproc.service.health import Health
    from lionproc.service.pipeline import Pipeline
    from lionproc.service.processing import ProcessingService
    from lionproc.service.stage import ProcessingStage

__version__ = "0.1.0"

__all__ = [
    "BatchProcessor",
    "Branch",
    "Budget",
    "Cascade",
    "Comparison",
    "Estimate",
    "Fallback",
    "Field",
    "Form",
    "Health",
    "Job",
    "Limits",
    "LimitsPanel",
    "Model",
    "Pipeline",
    "Pool",
    "Preview",
    "Price",
    "ProcessingService",
    "ProcessingStage",
    "RateLimitedAPIExecutor",
    "Report",
    "Retry",
    "RunStats",
    "Score",
    "__version__",
    "configure",
    "errors",
    "journal",
    "last_job",
    "limits_panel",
    "load_ipython_extension",
    "read_facts",
    "read_parquet",
    "read_review",
    "register",
    "run",
    "runs",
    "types",
]

# Imported when first used, so that `import lionproc` costs little.
_LATER = {
    "BatchProcessor": "service.batch",
    "Branch": "service.branch",
    "Cascade": "model.cascade",
    "Comparison": "evaluation.comparison",
    "Estimate": "frame.estimate",
    "Fallback": "model.composed",
    "Field": "service.form",
    "Form": "service.form",
    "Health": "service.health",
    "Job": "frame.job",
    "LimitsPanel": "notebook.limits_panel",
    "Model": "model.model",
    "Pipeline": "service.pipeline",
    "Pool": "model.pool",
    "Preview": "frame.preview",
    "Price": "model.prices",
    "ProcessingService": "service.processing",
    "ProcessingStage": "service.stage",
    "RateLimitedAPIExecutor": "engine.executor",
    "Report": "reports.report",
    "Score": "evaluation.score",
    "configure": "model.defaults",
    "journal": "reports.journal_care",
    "last_job": "frame.job",
    "limits_panel": "frame.shared_limits",
    "read_facts": "frame.parquet_reader",
    "read_parquet": "frame.parquet_reader",
    "read_review": "evaluation.review_file",
    "register": "frame.register",
    "run": "reports.runs",
    "runs": "reports.runs",
    "types": "service.types",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module 'lionproc' has no attribute {name!r}")
    from importlib import import_module

    if _LATER[name].startswith("frame."):
        import_module("pandas")  # puts `.llm` there, with modules that must not be half made then
    module = import_module(f"lionproc.{_LATER[name]}")
    found = module if name == "types" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: _Any) -> None:
    """`%load_ext lionproc`; see `lionproc.notebook.extension.load`."""
    from lionproc.notebook.extension import load

    load(ipython)


_register()
