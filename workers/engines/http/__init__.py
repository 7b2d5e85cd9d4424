"""What engines behind an HTTP API share: the reply, its bill, its end, its refusals."""
