"""The fast paths behind the layers, one file an operator."""
