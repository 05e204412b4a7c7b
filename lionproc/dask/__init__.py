"""The same accessor on Dask: for frames that outgrow the memory, one core or one machine.

```python
import dask.dataframe as dd
import lionproc.dask

ddf = dd.from_pandas(df, npartitions=2)  # or dd.read_parquet("reviews/")
out = ddf.llm.process("Is {review} positive?", into="positive", schema=bool, model="local")
out.compute()  # or out.to_parquet("answers/")
```
"""

from __future__ import annotations

from lionproc.errors import MissingDependencyError

try:
    import distributed  # noqa: F401  (all of it is needed, not only dask)
    from dask import dataframe as _dd
except ImportError as _missing:
    raise MissingDependencyError(
        f"lionproc.dask needs {_missing.name}, which is not installed: pip install 'lionproc[dask]'"
    ) from None

from dask.dataframe.extensions import register_dataframe_accessor, register_series_accessor

from lionproc.dask.accessor import DaskFrameAccessor
from lionproc.dask.local_cluster import local
from lionproc.dask.reading import read_folder as read_parquet
from lionproc.dask.series_accessor import DaskSeriesAccessor
from lionproc.frame.register import register_too

__all__ = ["DaskFrameAccessor", "DaskSeriesAccessor", "local", "read_parquet"]


register_too(
    {
        _dd.DataFrame: (register_dataframe_accessor, DaskFrameAccessor),
        _dd.Series: (register_series_accessor, DaskSeriesAccessor),
    }
)
