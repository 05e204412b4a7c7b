"""Put an LLM to work on the columns of a DataFrame.

Importing lionproc gives frames and series an `.llm`:

```python
import pandas as pd
import lionproc as lp

df = pd.DataFrame({"review": ["A joy to use.", "Broke on day two."]})
df.llm.process("Is this positive? {review}", into="positive", schema=bool, model="local")
```
"""

from lionproc.engine.budget import Budget
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.engine.stats import RunStats
from lionproc.frame.accessor import register as _register
from lionproc.frame.export import read_facts, read_parquet
from lionproc.frame.job import Job, last_job
from lionproc.model.defaults import configure
from lionproc.model.model import Model

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Job",
    "Limits",
    "Model",
    "RateLimitedAPIExecutor",
    "Retry",
    "RunStats",
    "__version__",
    "configure",
    "last_job",
    "read_facts",
    "read_parquet",
]

_register()
