"""The method: from an observation to a recovery. Knows no file format, no napari, no Qt."""
