"""What a comparison found, as plain data: what the card and the picture are made of."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from lionproc.evaluation.calibration import Calibration, Coverage
from lionproc.evaluation.columns import Measure

__all__ = ["Scored", "most_frequent"]


@dataclass(frozen=True, eq=False, repr=False)
class Scored:
    """What was found; `Score` says what each is. `points`: of numbers, gold and answer by row."""

    into: Hashable
    gold: Hashable
    measure: Measure
    rows: int
    n: int
    missing: int
    right: int | None = None
    accuracy: float | None = None
    accuracy_with_missing: float | None = None
    interval: tuple[float, float] | None = None
    kappa: float | None = None
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    mae: float | None = None
    rmse: float | None = None
    bias: float | None = None
    r: float | None = None
    table: pd.DataFrame | None = None
    confusion: pd.DataFrame | None = None
    shares: pd.DataFrame | None = None
    slices: pd.DataFrame | None = None
    wrong: pd.DataFrame = field(default_factory=pd.DataFrame)
    not_found: int = 0
    weighted: bool = False
    points: npt.NDArray[np.float64] | None = None
    examples: int | None = 0
    reliability: pd.DataFrame | None = None
    coverage: Coverage | None = None
    _calibration: Calibration | None = None
    _frame: pd.DataFrame | None = None

    @property
    def gold_in_all(self) -> bool:
        """Whether every row has gold: then nothing of the frame is left to be estimated."""
        return self.n + self.missing == self.rows


def most_frequent(table: pd.DataFrame, count: str, most: int) -> npt.NDArray[np.intp]:
    """The places of the rows with the largest counts, in the order of the table.

    Args:
        table: The table.
        count: The column that counts.
        most: How many at the most.
    """
    counts = table[count].to_numpy(dtype=np.float64)
    return np.sort(np.argsort(-counts, kind="stable")[:most])
