"""How producers are told what became of their items, as Celery tells it."""
