"""Selection of a deployment: the candidates, what their answers have shown, and their order."""
