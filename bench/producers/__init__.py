"""The processes that submit while a bench counts: ours, bare Celery's, single calls, tenants."""
