"""What every answer to a browser carries, and which requests of browsers are answered at all."""

POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = f"{POLICY}; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


def host_name(host: str) -> str:
    """The name in a `Host` header, in small letters and without its port: `localhost` of `LOCALHOST:8000`.

    A page of another site reaches this machine under its own name (DNS rebinding), so only known names are answered.
    """
    return (host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]).lower()


def same_origin(origin: str, host: str) -> bool:
    """Whether a page of this `Origin` was sent by the server that it calls `host`, whatever the scheme."""
    return origin.partition("://")[2] == host
