"""The common part of engines behind an HTTP API: the reply, its bill, its end, its refusals."""
