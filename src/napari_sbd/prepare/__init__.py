"""Operations that prepare an image, one per file, and the recipe that replays them.

`recipe.operations` lists them with their settings for a form, `recipe.Recipe` takes them in order, and
`suggest.suggest_recipe` proposes a recipe from the image itself. Each is a function of array and mask, too.
"""
