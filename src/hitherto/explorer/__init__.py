"""A local page on which sizes are controls and the predictions of all theories redraw at once."""
