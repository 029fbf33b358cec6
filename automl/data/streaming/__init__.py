"""Tables that do not fit into memory: prepared once into shards on disk, and read shard by shard while training."""
