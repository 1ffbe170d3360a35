"""The reference pages say what the code says: made pages are up to date, the configuration's tables name each key and its default."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from strongroom.core.hcl import parse
from strongroom.core.lockout import Limits
from strongroom.core.policy.rules import parse_policy
from strongroom.server import config, config_ignored
from strongroom.server.config import Config, Listener, Snapshots, Store, parse_config
from tests.docs.pages import DOCS, PAGES, blocks
from tests.docs.reference import PAGES as MADE
from tests.docs.reference import engines, text_of
from tests.lint.source import PACKAGE, ROOT

CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")
DERIVED = frozenset("listeners storage seals audit outbound_allow snapshots user_lockout unauthenticated_metrics_access warnings".split())
"""Members of Config that are made of stanzas; all others are top-level keys."""


@pytest.mark.parametrize("page", MADE)
def test_a_made_page_is_up_to_date(page: str) -> None:
    assert (DOCS / page).read_text(encoding="utf-8") == text_of(page), f"docs/{page} is behind the code; run: make docs"


def table(heading: str) -> dict[str, str]:
    """Key → default of the table below a heading."""
    section = CONFIGURATION.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"docs/configuration.md has no section {heading!r}"
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE))


def defaults(struct: type[msgspec.Struct], *without: str) -> dict[str, str]:
    """Field → default of a struct, as the page writes it."""
    found = {}
    for field in msgspec.structs.fields(struct):
        if field.name not in without:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            found[field.name] = f"`{str(default).lower() if isinstance(default, bool) else default}`" if default else _empty(default)
    return found


def _empty(default: object) -> str:
    return "`false`" if default is False else "–"


LOCKOUT = {
    "lockout_threshold": f"`{Limits().threshold}`",
    "lockout_duration": f"`{Limits().duration // 60}m`",
    "lockout_counter_reset": f"`{Limits().reset // 60}m`",
    "disable_lockout": "`false`",
    "lockout_profile": "`default`",
}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Top level", defaults(Config, *DERIVED)),
        ('listener "tcp" and listener "unix"', defaults(Listener, "kind")),
        ("storage", defaults(Store, "kind")),
        ("snapshots", defaults(Snapshots)),
        ("user_lockout", LOCKOUT),
    ],
    ids=["top", "listener", "storage", "snapshots", "user_lockout"],
)
def test_the_configuration_names_every_key_and_its_default(heading: str, expected: dict[str, str]) -> None:
    assert table(heading) == expected


def test_the_configuration_names_every_stanza() -> None:
    missing = [name for name in sorted(config.STANZAS) if f"`{name}`" not in CONFIGURATION and f"## {name}" not in CONFIGURATION]
    assert not missing


def test_the_configuration_names_what_it_ignores() -> None:
    listed = CONFIGURATION.partition("## Ignored\n")[2]
    for names in (config_ignored.TOP, config_ignored.LISTENER, config_ignored.STORE):
        assert not [name for name in sorted(names) if not re.search(rf"\b{name}\b", listed)]


HCL = [(page, number, text) for page in PAGES for number, (language, text) in enumerate(blocks(page)) if language == "hcl"]


@pytest.mark.parametrize(("page", "text"), [(page, text) for page, _, text in HCL], ids=[f"{page.name}-{n}" for page, n, _ in HCL])
def test_configurations_and_policies_in_the_docs_are_read(page: Path, text: str) -> None:
    if any(entry.key == "path" for entry in parse(text).entries):
        assert parse_policy("example", text).rules
    else:
        assert parse_config(text) != parse_config("")


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_every_engine_and_auth_method_is_news(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [engine.kind for _, engine in engines() if engine.family != "system" and not re.search(rf"\b{engine.kind}\b", text)]


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert not [page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[\w-]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_each_promise_of_the_threat_model_names_tests_that_exist() -> None:
    promises = re.findall(r"^\| (?!promise|-)[^|]+ \| ([^|]*) \|$", text_between("## Promises", "## Not promised"), re.MULTILINE)
    assert len(promises) > 10
    for shown_by in promises:
        named = re.findall(r"`((?:tests/[\w/]+/)?test_\w+\.py)`", shown_by)
        assert named, shown_by
        folder = Path(named[0]).parent
        missing = [name for name in named if not (ROOT / name).is_file() and not (ROOT / folder / name).is_file()]
        assert not missing, shown_by


def text_between(start: str, end: str) -> str:
    text = (DOCS / "threat-model.md").read_text(encoding="utf-8")
    return text.partition(start)[2].partition(end)[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text(encoding="utf-8"))
    assert not [name for name in named if not any((base / name).is_file() for base in (ROOT, PACKAGE))]
