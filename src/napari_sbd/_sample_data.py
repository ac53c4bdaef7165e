"""The simulated images under ``File > Open Sample``."""

from __future__ import annotations

from typing import Any

from napari_sbd.simulate import Sample, dense, haadf, isolated

LayerData = tuple[Any, dict[str, Any], str]


def isolated_sample() -> list[LayerData]:
    """Return *isolated*, an STM map of 60 impurities with exact multiple scattering, as napari layer data."""
    return [_image_layer(isolated())]


def dense_sample() -> list[LayerData]:
    """Return *dense*, 934 overlapping defects under strong noise, as napari layer data."""
    return [_image_layer(dense())]


def haadf_sample() -> list[LayerData]:
    """Return *haadf*, a STEM lattice with dopants and vacancies, as napari layer data."""
    return [_image_layer(haadf())]


def _image_layer(sample: Sample) -> LayerData:
    attributes = {
        "name": sample.name,
        "scale": sample.pixel_size,
        "units": (sample.unit, sample.unit),
        "axis_labels": ("y", "x"),
        "colormap": "gray",
        "metadata": {"napari-sbd": {"truth": sample.truth()}},
    }
    return sample.image, attributes, "image"
