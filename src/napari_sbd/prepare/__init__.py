"""Operations that prepare an image, one per file, and the recipe that replays them."""
