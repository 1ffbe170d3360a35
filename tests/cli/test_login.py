"""Logins with several steps, and where the token goes: in a browser, with AWS credentials, by a token helper."""

from __future__ import annotations

import base64
import json
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials as AwsCredentials  # type: ignore[import-untyped]

from strongroom.cli import aws_login, browser_login
from tests.cli.run import Result, Runner, runner
from tests.client.scripted import Asked, Scripted, answer, serve
from tests.conformance.server import free_port

__all__ = ["runner"]

TOKEN = answer(200, {"auth": {"client_token": "srs_of_ada"}})

# -- token helper ---------------------------------------------------------------------------------------------------


def helper(runner: Runner, text: str) -> Path:
    """A token helper that is a shell script, named in ~/.vault."""
    program = runner.home / "helper"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    (runner.home / ".vault").write_text(f'# where the token is\ntoken_helper = "{program}"\n')
    return program


KEEPING = """
case "$1" in
  store) cat > "$HOME/kept" ;;
  get) cat "$HOME/kept" 2>/dev/null || true ;;
  *) exit 3 ;;
esac
"""


def test_a_token_helper_keeps_the_token_and_the_file_is_left_alone(runner: Runner) -> None:
    helper(runner, KEEPING)
    with serve(TOKEN, answer(200, {"data": {"a": "b"}})) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=approle", "role_id=x")
        assert result.code == 0 and "the token helper" in result.out
        assert runner("read", "-field=a", "x").out == "b"
    assert (runner.home / "kept").read_text() == "srs_of_ada"
    assert not (runner.home / ".vault-token").exists()
    assert server.asked[1].headers["x-vault-token"] == "srs_of_ada"


def test_a_token_helper_is_not_asked_where_nothing_is_to_be_kept(runner: Runner) -> None:
    helper(runner, 'test "$1" = get || exit 3')
    with serve(TOKEN, TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address})
        assert runner("login", "-method=approle", "-no-store", "role_id=x").code == 0
        assert runner("login", "-method=approle", "-token-only", "role_id=x").out == "srs_of_ada"


def test_a_configuration_elsewhere_is_named_by_vaults_variable(runner: Runner, tmp_path: Path) -> None:
    helper(runner, KEEPING)
    elsewhere = tmp_path / "config.hcl"
    (runner.home / ".vault").rename(elsewhere)
    (runner.home / "kept").write_text("srs_kept\n")
    runner.set({"VAULT_CONFIG_PATH": str(elsewhere)})
    assert runner("print", "token").out == "srs_kept\n"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('token_helper = "relative"', "absolute path"),
        ('token_helpr = "/x"', "the one thing this file may say"),
        ("token_helper = /x", "the one thing this file may say"),
        ('token_helper = "/nowhere/at/all"', "cannot be run"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_said(runner: Runner, config: str, said: str) -> None:
    (runner.home / ".vault").write_text(config)
    result = runner("print", "token")
    assert result.code == 1 and said in result.err


FAILING = 'test "$1" = get && exit 0; cat > /dev/null; echo "no key ring" >&2; exit 4'


def test_a_token_that_a_helper_does_not_keep_is_shown_once_as_vault_does(runner: Runner) -> None:
    helper(runner, FAILING)
    with serve(TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=approle", "role_id=x")
    assert result.code == 2
    assert "status 4" in result.err and "no key ring" in result.err and "srs_of_ada" not in result.err
    assert "srs_of_ada" in result.out


def test_with_no_print_a_token_that_is_not_kept_is_not_shown_either(runner: Runner) -> None:
    helper(runner, FAILING)
    with serve(TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-no-print", "-method=approle", "role_id=x")
    assert result.code == 1
    assert "no key ring" in result.err and "srs_of_ada" not in result.err + result.out


def test_a_login_where_nothing_is_mounted_says_what_may_be_wrong(runner: Runner) -> None:
    with serve(answer(403, {"errors": ["permission denied"]})) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=userpass", "-path=people", "username=ada", "password=secret-word")
    assert result.code == 2
    assert "auth/people/" in result.err and "-path" in result.err and "secret-word" not in result.err


# -- aws ------------------------------------------------------------------------------------------------------------

KEY = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}


def sent_by(runner: Runner, environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    """The body of a login by aws."""
    with serve(TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address, **environment})
        result = runner("login", "-method=aws", "-token-only", "role=dev", *words)
    assert result.out == "srs_of_ada", result
    body = server.asked[0].json
    assert isinstance(body, dict) and environment.get("AWS_SECRET_ACCESS_KEY", "nothing") not in json.dumps(body)
    return {name: value if name == "role" or name.endswith("method") else base64.b64decode(value).decode() for name, value in body.items()}


@pytest.mark.parametrize(
    ("environment", "words", "host", "region"),
    [
        (KEY, (), "sts.amazonaws.com", "us-east-1"),
        (KEY, ("region=eu-central-1", "header_value=vault.example.com"), "sts.eu-central-1.amazonaws.com", "eu-central-1"),
        ({**KEY, "AWS_SESSION_TOKEN": "a session", "AWS_REGION": "us-west-2"}, (), "sts.us-west-2.amazonaws.com", "us-west-2"),
    ],
)
def test_the_question_is_signed_as_aws_signs_it(
    runner: Runner, environment: dict[str, str], words: tuple[str, ...], host: str, region: str
) -> None:
    body = sent_by(runner, environment, *words)
    assert (body["role"], body["iam_http_request_method"]) == ("dev", "POST")
    assert (body["iam_request_url"], body["iam_request_body"]) == (f"https://{host}/", aws_login.BODY)
    headers = {name: values[0] for name, values in json.loads(body["iam_request_headers"]).items()}
    request = AWSRequest("POST", f"https://{host}/", data=aws_login.BODY)
    request.context["timestamp"] = headers["X-Amz-Date"]
    for name, value in headers.items():
        if name not in ("Authorization", "X-Amz-Date"):
            request.headers[name] = value
    credentials = AwsCredentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], environment.get("AWS_SESSION_TOKEN")
    )
    signer = SigV4Auth(credentials, "sts", region)
    request.headers["X-Amz-Date"] = headers["X-Amz-Date"]
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    assert headers["Authorization"].endswith(f"Signature={expected}")


def test_credentials_come_from_the_shared_file_by_profile(runner: Runner) -> None:
    folder = runner.home / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text("[ci]\naws_access_key_id = AKIDFILE\naws_secret_access_key = of the file\n")
    body = sent_by(runner, {"AWS_PROFILE": "ci"})
    assert "Credential=AKIDFILE/" in body["iam_request_headers"]


def test_without_credentials_it_says_what_to_set(runner: Runner) -> None:
    result = runner("login", "-method=aws", "role=dev")
    assert result.code == 1 and "AWS_ACCESS_KEY_ID" in result.err


# -- oidc -----------------------------------------------------------------------------------------------------------


class Login:
    """A login by oidc, run beside a browser that the test plays."""

    def __init__(self, runner: Runner, server: Scripted, *words: str) -> None:
        runner.set({"VAULT_ADDR": server.address})
        self.port = free_port()
        self.result: Result | None = None
        words = ("login", "-method=oidc", "-token-only", f"port={self.port}", "skip_browser=true", *words)
        self._thread = threading.Thread(target=lambda: setattr(self, "result", runner(*words)), daemon=True)
        self._thread.start()

    def visit(self, query: str, data: bytes | None = None, path: str = "/oidc/callback") -> int:
        """What the browser is answered."""
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}?{query}", data, timeout=5) as found:
                    assert "default-src 'none'" in found.headers["Content-Security-Policy"]
                    return int(found.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                time.sleep(0.02)
        raise AssertionError("nobody listens")

    def ended(self) -> Result:
        self._thread.join(10)
        assert self.result is not None
        return self.result


def address(_asked: Asked) -> bytes:
    return answer(200, {"data": {"auth_url": "https://idp.example.com/authorize?state=the-state&client_id=x"}})


def test_a_browser_login_takes_the_answer_to_its_own_state_only(runner: Runner) -> None:
    with serve(address, TOKEN) as server:
        login = Login(runner, server, "role=dev")
        assert login.visit("state=another&code=stolen") == 400
        assert login.visit("state=the-state&code=the-code", path="/elsewhere") == 400
        assert login.visit("state=the-state&code=the-code") == 200
        result = login.ended()
    assert (result.code, result.out) == (0, "srs_of_ada")
    assert "https://idp.example.com/authorize?state=the-state" in result.err
    asked = server.asked[0].json
    assert isinstance(asked, dict)
    assert (asked["role"], asked["redirect_uri"]) == ("dev", f"http://localhost:{login.port}/oidc/callback")
    nonce = asked["client_nonce"]
    assert len(nonce) == 32
    assert server.asked[1].target == f"/v1/auth/oidc/oidc/callback?state=the-state&code=the-code&client_nonce={nonce}"


def test_a_provider_may_have_the_browser_send_a_form(runner: Runner) -> None:
    with serve(address, TOKEN) as server:
        login = Login(runner, server)
        assert login.visit("", b"state=the-state&code=the-code") == 200
        assert login.ended().out == "srs_of_ada"


def test_a_refusal_of_the_provider_is_said(runner: Runner) -> None:
    with serve(address) as server:
        login = Login(runner, server)
        login.visit("state=the-state&error=access_denied%1b")
        result = login.ended()
    assert result.code == 2 and "the provider refused the login: access_denied" in result.err and "\x1b" not in result.err


@pytest.mark.parametrize("given", ["", "javascript:alert(1)", "file:///etc/passwd"])
def test_an_address_that_is_none_is_not_opened(runner: Runner, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with serve(answer(200, {"data": {"auth_url": given}})) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=oidc", "role=dev")
    assert result.code == 2 and "allow http://localhost:8250/oidc/callback" in result.err
    assert opened == []


def test_in_direct_mode_the_server_is_asked_until_it_has_the_answer(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    begun = {"auth_url": "https://idp.example.com/a", "state": "s", "poll_interval": "5", "user_code": "ABCD-EFGH"}
    pending = answer(400, {"errors": ["authorization_pending"]})
    with serve(answer(200, {"data": begun}), pending, pending, TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=oidc", "-token-only", "skip_browser=true", "role=dev")
    assert (result.code, result.out) == (0, "srs_of_ada")
    assert "ABCD-EFGH" in result.err
    assert [asked.target for asked in server.asked[1:]] == ["/v1/auth/oidc/oidc/poll"] * 3


def test_a_port_that_is_taken_is_said(runner: Runner) -> None:
    with serve(address) as server, browser_login.Listener(("127.0.0.1", 0), "x") as taken:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("login", "-method=oidc", f"port={taken.server_port}", "skip_browser=true")
    assert result.code == 1 and "choose another port=" in result.err


# -- the token file -------------------------------------------------------------------------------------------------


def test_the_token_file_is_private(runner: Runner) -> None:
    with serve(TOKEN) as server:
        runner.set({"VAULT_ADDR": server.address})
        assert runner("login", "-method=approle", "-no-print", "role_id=x").out == ""
    assert stat.S_IMODE((runner.home / ".vault-token").stat().st_mode) == 0o600
