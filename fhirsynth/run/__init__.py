"""Making a population in shards: engines, files, resume and manifest. Knows nothing of what a shard contains."""
