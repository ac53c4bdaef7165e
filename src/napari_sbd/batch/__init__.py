"""Many images through one recipe, on Dask. Knows neither napari nor Qt."""

from napari_sbd.batch.many import iter_recover_many, recover_many
from napari_sbd.batch.outcome import ImageOutcome, Outcomes

__all__ = ["ImageOutcome", "Outcomes", "iter_recover_many", "recover_many"]
