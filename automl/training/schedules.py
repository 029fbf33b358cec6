"""How the learning rate goes over a full trial. No torch here."""

import math


def factor(schedule: str, step: int, total: int, warmup: float = 0.0) -> float:
    """What the learning rate is multiplied by at `step` (0-based) of `total`; linear warm-up over the first share `warmup`.

    cosine: half a wave from 1 to 0 (Loshchilov & Hutter 2017, without restarts). linear: 1 to 0. step: times 0.1 at 50 %
    and 75 % (He et al. 2016). wsd: constant, then linear to 0 over the last 20 % (Hu et al. 2024, "MiniCPM").
    """
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / (rise + 1)
    done = (step - rise) / max(total - rise, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if schedule == "linear":
        return 1 - done
    if schedule == "step":
        return 0.1 ** ((done >= 0.5) + (done >= 0.75))
    if schedule == "wsd":
        return min(1.0, (1 - done) / 0.2)
    return 1.0
