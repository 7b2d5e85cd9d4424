"""Batches: files of requests that are served later, at half the price, as OpenAI documents it."""
