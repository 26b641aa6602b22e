"""The nouns that everything else is built from; imports nothing else of this package."""
