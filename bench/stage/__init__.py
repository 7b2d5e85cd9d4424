"""What the benches stand on: databases, a system with the null engine, bare Celery."""
