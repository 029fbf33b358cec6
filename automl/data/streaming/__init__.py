"""Tables that do not fit into memory: prepared once into shards on disk, read shard by shard."""
