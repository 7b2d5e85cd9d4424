"""Results for producers: promises, chords, sinks, webhooks, and which of them are still owed."""
