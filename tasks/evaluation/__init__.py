"""Whether answers are right: labelled sets on every tier, and what people say of answers."""
