"""hitherto: what a recurrent model can remember, before it is trained and after."""
