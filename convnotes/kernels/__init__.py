"""The fast paths behind the layers: one file an operator, each equal to the definition that the tests hold it to."""
