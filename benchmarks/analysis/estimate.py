"""A mean over seeds with its spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds. `std` is the sample standard deviation, None when one seed leaves it unknown."""

    mean: float
    std: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """The estimate from one value per seed."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else None, len(values))
