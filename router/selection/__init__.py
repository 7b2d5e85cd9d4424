"""Which deployment is taken: the candidates, what their answers have shown, and in which order."""
