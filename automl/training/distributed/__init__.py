"""One trial on several devices: replicated (DDP) or sharded (FSDP2)."""
