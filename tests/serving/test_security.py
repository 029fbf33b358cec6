"""Who may ask: keys and scopes, hosts and origins, rates, and what the audit log says."""

import base64
import json
import socket
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from automl.errors import EnvironmentProblem, SpecError
from automl.serving import server
from automl.serving.problem import Refused
from automl.serving.security.keys import Keys
from automl.serving.settings import Settings
from automl.serving.traffic.rates import Rates
from tests.support.serving import ask, service

ROW = {"size": 5.0, "age": 30, "colour": "red", "day": "2021-03-04"}
ROWS = {"rows": [ROW]}
Bundles = dict[str, Path]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.mark.catalogue(60, "`automl serve --host 0.0.0.0` without a key", "refused; says how a key is made", 2)
def test_an_address_that_others_reach_needs_keys(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--host 0.0.0.0 can be reached from other machines.*--new-key"):
        server.check(Settings(str(tmp_path), host="0.0.0.0"))
    with pytest.raises(SpecError, match="there is no key yet"):
        server.check(Settings(str(tmp_path), host="0.0.0.0", keys=True))
    Keys(tmp_path / "keys.json").new()
    server.check(Settings(str(tmp_path), host="0.0.0.0", keys=True))
    for loopback in ("127.0.0.1", "localhost", "::1"):
        server.check(Settings(str(tmp_path), host=loopback))
    with pytest.raises(SpecError, match="--tls-cert and --tls-key belong together"):
        server.check(Settings(str(tmp_path)), tmp_path / "c.pem")


def test_a_port_that_another_program_has_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=rf"127.0.0.1 port {port} cannot be used: .*--port"):
            server.check_port(Settings(str(tmp_path / "state"), port=port))
    server.check_port(Settings(str(tmp_path / "state"), port=port))
    assert not (tmp_path / "state").exists()


def test_keys_are_kept_as_hashes_readable_by_their_owner_alone(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    key = keys.new(("predict",), "a client")
    text = (tmp_path / "keys.json").read_text()
    assert key not in text
    assert key.split("_", 2)[2] not in text  # the secret part, which may hold a "_" itself
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert keys.identify(f"Bearer {key}").scopes == {"predict"}
    assert len(key) > 40
    with pytest.raises(SpecError, match=r"no scope 'predikt'; did you mean 'predict'\?"):
        keys.new(("predikt",))


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer a_b_c", "Basic !!", "Basic eA==", "Digest x"])
def test_what_is_no_key_is_refused_in_one_way(tmp_path: Path, given: str | None) -> None:
    keys = Keys(tmp_path / "keys.json")
    key = keys.new()
    identity = key.split("_")[1]
    for wrong in (given, f"Bearer {key[:-1]}", f"Bearer automl_{identity}_x", f"Bearer {key}x"):
        with pytest.raises(Refused) as refused:
            keys.identify(wrong)
        assert (refused.value.status, refused.value.code) == (401, "no_valid_key")


def test_scopes_and_rotation_hold_while_the_server_runs(bundles: Bundles, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    first, reader = keys.new(("predict",)), keys.new(("read",))
    made = service(tmp_path, ("flowers", bundles["flowers"]), keys=True)

    async def talk(client: httpx.AsyncClient) -> list[int]:
        codes = [(await client.post("/v1/predict", json=ROWS)).status_code]
        codes += [(await client.post("/v1/predict", json=ROWS, headers=bearer(k))).status_code for k in (first, reader)]
        codes += [(await client.get("/v1/status", headers=bearer(k))).status_code for k in (first, reader)]
        traffic = "/v1/models/flowers/rollback"
        codes += [(await client.post(traffic, json={}, headers=bearer(k))).status_code for k in (first, reader)]
        codes += [(await client.get(path)).status_code for path in ("/health/live", "/", "/docs", "/metrics", "/nope")]
        basic = base64.b64encode(f"anybody:{reader}".encode()).decode()
        codes.append((await client.get("/", headers={"authorization": f"Basic {basic}"})).status_code)
        new = keys.new(("predict",))
        keys.revoke(first.split("_")[1])
        codes += [(await client.post("/v1/predict", json=ROWS, headers=bearer(k))).status_code for k in (first, new)]
        return codes

    expected = [401, 200, 403, 403, 200, 403, 403, 200, 401, 401, 401, 401, 200, 401, 200]
    assert ask(made, talk) == expected


def test_without_keys_only_this_machine_may_ask_and_no_foreign_page(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]))

    async def talk(client: httpx.AsyncClient) -> list[Any]:
        heads = [
            {}, {"host": "127.0.0.1:8000"}, {"host": "[::1]:8000"}, {"host": "evil.example"}, {"host": ""},
            {"host": "localhost", "origin": "http://evil.example"}, {"host": "localhost", "origin": "null"},
            {"host": "localhost:80", "origin": "http://localhost:80"},
        ]  # fmt: skip
        return [(await client.post("/v1/predict", json=ROWS, headers=one)).status_code for one in heads]

    assert ask(made, talk) == [200, 200, 200, 421, 421, 403, 403, 200]


def test_every_answer_carries_the_headers_of_security_and_its_id(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = ["/", "/docs", "/page.js", "/v1/status", "/nope", "/health/live"]
        got = [await client.get(path, headers={"x-request-id": "my-own-id"}) for path in paths]
        return [*got, await client.post("/v1/predict", content=b"{", headers={"x-request-id": "no good id\t"})]

    got = ask(made, talk)
    for one in got:
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["x-frame-options"] == "DENY"
        assert one.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in one.headers["content-security-policy"]
        assert "unsafe" not in one.headers["content-security-policy"]
        assert "server" not in one.headers
    assert all(one.headers["x-request-id"] == "my-own-id" for one in got[:-1])
    assert len(got[-1].headers["x-request-id"]) == 16
    for page in got[:2]:
        assert "<script>" not in page.text
        assert "style=" not in page.text
        assert "http://" not in page.text.replace("http://localhost/", "")  # nothing comes from elsewhere
        assert "https://" not in page.text


def test_rates_hold_for_each_client_and_say_when_to_come_again() -> None:
    now = [0.0]
    rates = Rates(2.0, lambda: now[0])
    for _ in range(4):
        rates.take("a")
    with pytest.raises(Refused) as refused:
        rates.take("a")
    assert (refused.value.status, refused.value.headers()) == (429, {"retry-after": "1"})
    rates.take("b")
    now[0] += 0.5
    rates.take("a")
    with pytest.raises(Refused):
        rates.take("a")


def test_too_many_requests_are_refused_also_with_wrong_keys(bundles: Bundles, tmp_path: Path) -> None:
    key = Keys(tmp_path / "keys.json").new()
    made = service(tmp_path, ("flowers", bundles["flowers"]), keys=True, rate=1.0)

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        own = [await client.post("/v1/predict", json=ROWS, headers=bearer(key)) for _ in range(3)]
        return own + [await client.post("/v1/predict", json=ROWS, headers=bearer("x")) for _ in range(3)]

    got = ask(made, talk)
    assert [one.status_code for one in got] == [200, 200, 429, 401, 401, 429]
    assert int(got[2].headers["retry-after"]) >= 1
    assert got[0].headers.get("retry-after") is None
    assert got[3].headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("bodies", [False, True])
def test_the_audit_log_says_who_asked_what_without_keys_and_bodies(
    bundles: Bundles, tmp_path: Path, bodies: bool
) -> None:
    key = Keys(tmp_path / "keys.json").new()
    made = service(tmp_path, ("flowers", bundles["flowers"]), keys=True, audit_bodies=bodies)

    async def talk(client: httpx.AsyncClient) -> None:
        await client.post("/v1/predict", json=ROWS, headers={**bearer(key), "x-request-id": "first-one"})
        await client.post("/v1/predict", json={"row": 1}, headers=bearer(key))
        await client.get("/health/live")

    ask(made, talk)
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    text = file.read_text()
    first, second = map(json.loads, text.splitlines())
    assert key not in text
    assert key.split("_", 2)[2] not in text  # the secret part, which may hold a "_" itself
    assert (first["key"], first["model"], first["version"], first["rows"], first["status"], first["request_id"]) == (
        key.split("_")[1], "flowers", "v1", 1, 200, "first-one",
    )  # fmt: skip
    assert (second["status"], second["code"]) == (422, "unknown_key")
    assert ("body" in first) == bodies
    assert not bodies or json.loads(first["body"]) == ROWS


def test_a_fault_of_our_own_is_answered_without_a_traceback(
    bundles: Bundles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]))

    async def broken(visit: Any) -> Any:
        raise RuntimeError("secret detail")

    made.gate.handlers = {("POST", "/v1/predict"): ("predict", broken)}
    made.feedback.answered = broken  # type: ignore[method-assign,assignment]

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        wrong = {"request_id": "x", "answers": [1]}
        return [await client.post("/v1/predict", json=ROWS), await client.post("/v1/feedback", json=wrong)]

    for one in ask(made, talk):
        assert one.status_code == 500
        assert one.json()["error"]["code"] == "server_fault"
        assert "secret" not in one.text
        assert one.headers["x-request-id"] in one.json()["error"]["message"]
    assert "secret detail" in caplog.text
