"""The dock widgets. Only here are Qt, magicgui and napari imported."""
