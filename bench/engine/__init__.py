"""Items a second through the gpu tier, against the same engine with nothing around it."""
