"""URLs in one strict form: what leads elsewhere than it says, or is read differently by two programs, is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import InvalidRequest
from strongroom.outbound.url import Url, parse_url

GOOD = {
    "https://example.com": Url("https", "example.com", 443, "example.com", "/"),
    "https://example.com:443/": Url("https", "example.com", 443, "example.com", "/"),
    "https://Example.COM:8443/a/b?c=d%20e": Url("https", "example.com", 8443, "Example.COM:8443", "/a/b?c=d%20e"),
    "https://example.com?x": Url("https", "example.com", 443, "example.com", "/?x"),
    "https://127.0.0.1/": Url("https", "127.0.0.1", 443, "127.0.0.1", "/"),
    "https://[::1]:8200/v1": Url("https", "::1", 8200, "[::1]:8200", "/v1"),
    "https://xn--bcher-kva.example/": Url("https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/"),
    "https://localhost.:1/": Url("https", "localhost", 1, "localhost.:1", "/"),
}

BAD = (
    "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd", "HTTPS://example.com/", "https:/example.com/",
    "https://user@example.com/", "https://a:b@example.com/", "https://good.com\\@evil.com/", "https://good.com#@evil.com/",
    "https://example.com/#fragment", "https://example.com/ x", "https://example.com/\r\nhost: evil", "https://example.com/\n", " https://example.com/",
    "https://example.com /", "https://exa mple.com/", "https://éxample.com/", "https://example.com/é", "https://ⓔxample.com/", "https://example。com/",
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/", "https://127.0.0.1.2/", "https://1.2.3.4.5/",
    "https://127.0.0.256/", "https://127.000.000.001/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:/", "https://example.com:+1/",
    "https://example.com:80 80/", "https://-example.com/", "https://example-.com/", "https://exa..mple.com/", "https://.example.com/", "https://./",
    "https://[::1/", "https://::1/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://[v1.x]/", "https:///path", "https://?x",
    "https://" + "a" * 64 + ".com/", "https://" + ".".join(["a" * 60] * 5) + "/", "https://example.com/" + "a" * 8_200, "https://exam_ple.com/",
    "https://example.com/\x00",
    "https://example.com/[x]", "https://example.com/<x>", 'https://example.com/"', "https://example.com/`", "https://example.com/{x}", "https://example.com/|",
)  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_url_is_taken_apart(text: str) -> None:
    assert parse_url(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_url(text, plaintext=True)


def test_http_only_where_the_caller_says_so() -> None:
    with pytest.raises(InvalidRequest):
        parse_url("http://example.com/")
    assert parse_url("http://example.com/", plaintext=True).port == 80


@given(st.text(alphabet=st.sampled_from("htps:/.@#?[]%\\ -_aA1x\r\n\té"), max_size=40))
def test_what_is_accepted_holds_nothing_that_ends_a_line_or_hides_a_host(tail: str) -> None:
    try:
        url = parse_url("https://" + tail)
    except InvalidRequest:
        return
    assert (url.host + url.authority + url.target).isascii()
    assert not set(url.authority) & set("@\\/?# \r\n\t")
    assert not set(url.target) & set("\\# \r\n\t")
