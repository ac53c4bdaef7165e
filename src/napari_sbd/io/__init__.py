"""Files: readers, one for each format, of images with their calibration. Knows neither napari nor Qt."""

from napari_sbd.io.channel import Channel
from napari_sbd.io.errors import ReadError
from napari_sbd.io.formats import CHANNEL_FORMATS, read
from napari_sbd.io.units import convenient, size_text

__all__ = ["CHANNEL_FORMATS", "Channel", "ReadError", "convenient", "read", "size_text"]
