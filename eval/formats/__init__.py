"""The files that test collections come in: one module per format."""
