"""The form in which a model is asked to answer, and what may be said of an answer."""
