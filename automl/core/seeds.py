"""Seeds: each is derived from what it is for, and never drawn from a shared stream."""

import hashlib

Part = str | int


def derive(*parts: Part) -> int:
    """A seed of 63 bits that depends on `parts` (and their types) alone.

    It is the same in every process, on every machine and under every `PYTHONHASHSEED`.

    Example:
        derive(study_seed, trial_number, "init")
    """
    text = "\x1f".join(f"{type(part).__name__[0]}{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
