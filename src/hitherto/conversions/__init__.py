"""Models in another form that compute the same function."""
