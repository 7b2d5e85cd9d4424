"""Half price when there is time: what it costs, what it delays, and what it survives."""
