"""Where every random number begins: seeds derived from what they are for, never drawn from a shared stream."""

import hashlib

Part = str | int


def derive(*parts: Part) -> int:
    """A 63-bit seed that depends on `parts` alone (and on their types): `derive(study_seed, trial, "init")`.

    The same in every process, on every machine and under every `PYTHONHASHSEED`.
    """
    text = "\x1f".join(f"{type(part).__name__[0]}{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
