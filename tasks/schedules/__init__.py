"""Schedules: work that comes again by itself, by a cron line or at intervals."""
