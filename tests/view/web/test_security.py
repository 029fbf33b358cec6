"""Who may ask the live page's server, for what; and what its files hold."""

import random
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import automl
from automl.errors import EnvironmentProblem
from automl.study import paths
from automl.study.live.requests import MOST_BYTES
from automl.view.web import answers
from automl.view.web.answers import FILES, Answers, Question
from automl.view.web.feed import Feed
from automl.view.web.server import HOST, Server
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S
from tests.support.web import TOKEN, Client, serving

PAGE = ROOT / "automl" / "view" / "web" / "page"
KNOWN = ("/api/state", "/api/curves?trials=0", "/api/trial?number=0")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "secretname"
    with automl.Study({"x": automl.Float(0, 1)}, metric="val_loss", trials=9, strategy="random", path=folder) as study:
        study.tell(study.ask(), val_loss=0.5)
    return folder


@pytest.fixture(scope="module")
def page(path: Path) -> Iterator[Client]:
    with serving(path) as client:
        yield client


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80", "[::2]"])
def test_a_name_that_is_not_this_machines_is_refused(host: str, page: Client) -> None:
    for asked in ("/", *KNOWN):
        status, told, _ = page.ask("GET", asked, host=host or " ")
        assert (status, told["error"]["code"]) == (421, "wrong_host")
    assert page.ask("POST", "/api/edit", {"pause": True}, host=host or " ")[0] == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1:1", "[::1]:8000"])
def test_names_of_this_machine_are_answered_also_through_a_tunnel(host: str, page: Client) -> None:
    assert page.ask("GET", "/api/state", host=host)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused(headers: dict[str, str], page: Client, path: Path) -> None:
    for asked in KNOWN:
        assert page.ask("GET", asked, **headers)[0] == 403
    assert page.ask("POST", "/api/edit", {"pause": True}, **headers)[0] == 403
    assert page.ask("POST", "/api/report", {}, **headers)[0] == 403
    assert not (path / paths.INBOX).exists()


@pytest.mark.parametrize(
    "given", ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer é"]
)
def test_nothing_is_told_or_done_without_the_token(given: str, page: Client, path: Path) -> None:
    for method, asked in [
        *(("GET", one) for one in KNOWN),
        ("POST", "/api/edit"),
        ("POST", "/api/report"),
        ("GET", "/api/no"),
    ]:
        status, told, _ = page.ask(method, asked, {"pause": True} if method == "POST" else None, authorization=given)
        assert (status, told["error"]["code"]) == (401, "no_valid_token"), (method, asked)
    assert page.ask("GET", f"/api/state?token={TOKEN}", authorization="", cookie=f"token={TOKEN}")[0] == 401
    assert not (path / paths.INBOX).exists()


def test_tokens_are_compared_in_constant_time(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(answers.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or a == b)
    assert page.ask("GET", "/api/state")[0] == 200
    assert page.ask("GET", "/report/x")[0] == 404
    assert len(compared) == 1, "there is no report yet"


def test_a_change_needs_the_pages_own_origin_and_json(page: Client, path: Path) -> None:
    wanted = {"pause": True}
    assert page.ask("POST", "/api/edit", wanted, origin="")[1]["error"]["code"] == "no_origin"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"):
        assert page.ask("POST", "/api/edit", wanted, content_type=kind)[0] == 415
    assert page.ask("POST", "/api/edit", b"{")[0] == 400
    assert page.ask("POST", "/api/edit", b"[" * 100_000)[0] == 400
    assert page.ask("POST", "/api/edit", b"[]")[0] == 422
    assert page.ask("POST", "/api/edit", {"stop": 0})[0] == 422, "it has ended"
    assert page.ask("POST", "/api/edit", b" " * (MOST_BYTES + 1))[0] == 413
    assert page.ask("POST", "/api/trial", wanted)[0] == 404
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert page.ask(method, "/api/state")[0] == 405
    for strange in ("/../../etc/passwd", "/page/../page.js", "/api", "/api/state/", "/%2e%2e/x", "/report/"):
        assert page.ask("GET", strange)[0] == 404
    for query in ("since=x", "since=-1", f"since={'9' * 5000}"):
        assert page.ask("GET", f"/api/state?{query}")[0] == 422
    assert page.ask("GET", "/api/state?generation=%00&since=99999")[0] == 200
    assert not (path / paths.INBOX).exists()


def test_lengths_that_are_none_and_chunks_end_the_connection(page: Client) -> None:
    head = (
        f"POST /api/edit HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    )
    head += "Content-Type: application/json\r\n"
    for more in (
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 99999999999999",
        "Transfer-Encoding: chunked",
    ):
        with socket.create_connection((HOST, page.port), timeout=PATIENCE_S) as one:
            one.sendall(f"{head}{more}\r\n\r\n5\r\nhello\r\n".encode())
            found = b""
            while part := one.recv(65536):
                found += part
        assert found.startswith(b"HTTP/1.1 413"), more
        assert found.count(b"HTTP/1.1") == 1, "nothing of the body is taken for a request"


def test_the_files_hold_nothing_of_a_study_and_run_nothing_else(page: Client) -> None:
    size = 0
    for path, (name, kind) in FILES.items():
        status, content, headers = page.ask("GET", path, authorization="")
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert b"secretname" not in content
        policy = headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for"):
            assert part in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in {k.lower() for k in headers} or "Python" not in headers.get(
            "server", headers.get("Server", "")
        )
        text = content.decode()
        assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+/?", text.replace("http://www.w3.org/2000/svg", "")), name
        assert not re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|\bon\w+=", text
        ), name
        size += len(content)
    assert size < 300_000
    assert {name for name, _ in FILES.values()} == {file.name for file in PAGE.iterdir()}


def test_the_whole_report_has_an_address_that_cannot_be_guessed(page: Client) -> None:
    pytest.importorskip("matplotlib")
    status, told, _ = page.ask("POST", "/api/report", {})
    assert status == 200
    assert re.fullmatch(r"/report/[\w-]{43}", told["path"])
    status, content, headers = page.ask("GET", told["path"], authorization="")
    assert status == 200
    assert b"secretname" in content
    assert "script-src 'sha256-" in headers["content-security-policy"]
    assert page.ask("GET", told["path"][:-1], authorization="")[0] == 404
    assert page.ask("GET", told["path"], authorization="", host="evil.example")[0] == 421
    newer = page.ask("POST", "/api/report", {})[1]["path"]
    assert page.ask("GET", told["path"])[0] == 404
    assert page.ask("GET", newer)[0] == 200


def test_tokens_are_secrets_and_only_this_machine_is_served(path: Path, page: Client) -> None:
    made = [Answers(Feed(path)).token for _ in range(2)]
    assert made[0] != made[1]
    assert all(len(one) >= 43 for one in made)
    assert page.server.server_address[0] == "127.0.0.1"
    assert page.server.address == f"http://127.0.0.1:{page.port}/#{TOKEN}"
    with pytest.raises(EnvironmentProblem, match="cannot be used"):
        Server(Answers(Feed(path)), page.port)


def test_many_clients_at_once_are_answered(path: Path, page: Client, serve: Callable[..., Client]) -> None:
    import concurrent.futures

    def one(k: int) -> int:
        return page.ask("GET", KNOWN[k % 3])[0]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert set(threads.map(one, range(60))) == {200}


def test_no_question_is_too_strange(path: Path) -> None:
    rng, given = random.Random(5), Answers(Feed(path), TOKEN)
    parts = ["/", "api", "state", "trial", "edit", "..", "%00", "\u202e", "page.js", "\ud800", "a" * 5000, "?", "#"]
    names = ["host", "origin", "authorization", "content-type", "sec-fetch-site", "content-length", "cookie"]
    values = ["localhost", "http://localhost", f"Bearer {TOKEN}", "application/json", "", "\x00", "é", "[::1]", "["]
    bodies = [b"", b"{}", b"[]", b'{"stop": 0}', b"null", b"\xff", b'{"by": 3}', b'{"add": {"__proto__": 1}}', b"NaN"]
    usual = {"host": "localhost", "origin": "http://localhost", "authorization": f"Bearer {TOKEN}"}
    usual |= {"content-type": "application/json"}
    keys = ["since", "number", "trials", "generation"]
    seen = set()
    for _ in range(3000):
        asked = "/" + "/".join(rng.choices(parts, k=rng.randint(0, 3)))
        headers = {**usual, **{rng.choice(names): rng.choice(values) for _ in range(rng.randint(0, 2))}}
        query = "&".join(f"{rng.choice(keys)}={rng.choice(parts)}" for _ in range(2))
        method, body = rng.choice(["GET", "POST", "PUT", "get", ""]), rng.choice(bodies)
        answer = given.to(Question(method, rng.choice([asked, "/api/edit"]), query, headers, body))
        assert answer.content
        seen.add(answer.status)
    assert seen == {200, 400, 401, 403, 404, 405, 415, 421, 422}
    assert not list((path / paths.INBOX).glob("*"))
