"""Files: reading images, saving and opening a Recovery, tables and TIFF."""
