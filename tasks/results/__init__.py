"""Results for producers: what became of their items, as Celery tells it."""
