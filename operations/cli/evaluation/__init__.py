"""Whether answers are right: labelled sets, what people say of answers, and what is learned."""
