"""The background of a whole focal plane: samples, model, wings of stars, sky frames."""
