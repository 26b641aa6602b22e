"""Closed forms, one file a paper: numbers in, numbers out, never models and never measurements."""
