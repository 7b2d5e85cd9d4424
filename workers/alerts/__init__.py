"""Who is told of ceilings and deployments that need a person."""
