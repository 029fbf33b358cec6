"""One trial on several devices: the model replicated (DDP) or sharded (FSDP2). No processes are started here."""
