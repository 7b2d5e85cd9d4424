"""The consumer of a worker's queue: its messages read, refused or kept, its commands acted on."""
