"""Candidates for defects of an iterate: which activations are one, and where between pixels it lies."""

from __future__ import annotations

from napari_sbd.core.atoms import atoms_of, refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.peaks import Peaks, strong_activations
from napari_sbd.core.split_rows import all_whole


def peaks_of(objective: Objective, found: Iterate, sampled: bool, refine: bool = True) -> list[Peaks]:
    """By kernel, in pixels of the frame and the iterate's unit.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    sampled : bool
        Whether its places were sampled: then each strong activation is a defect, where it lies.
    refine : bool
        Whether centres are fitted to the image, or those of activations.
    """
    if sampled:
        peaks = [strong_activations(map_, objective.convolution.kernel_shape) for map_ in found.maps]
    else:
        peaks = refined_peaks(objective, found) if refine else atoms_of(found).peaks(found)
    return all_whole(peaks, found.kernels, objective.mask)
