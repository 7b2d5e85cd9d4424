"""The stage of the benches: databases, a system with the null engine, bare Celery."""
