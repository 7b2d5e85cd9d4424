"""Who is alive, what waits and what died: figures that cost the same whatever the backlog."""
