"""Ten decisions about recurrent models, each as a script: `python -m hitherto.examples.how_many_layers`."""
