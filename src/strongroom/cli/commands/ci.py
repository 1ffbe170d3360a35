"""ci: let the jobs of GitHub Actions and GitLab CI read secrets with tokens that the CI system signs, without a stored credential.

Rules of this file:
- What is made is said in full first: configuration, policy, role and the lines for the workflow; -apply then writes exactly that.
- A role is bound to one repository, and to a ref or an environment: tokens of every other job of the same CI system are refused.
- The audience is this server's own address, so that a token shown to another server is worth nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from strongroom.cli.command import Command
from strongroom.cli.errors import UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.values import Object

TTL = "15m"


class System(NamedTuple):
    """A CI system. `claims` are those that bind a role, by flag; `user_claim` names who logged in."""

    issuer: str
    user_claim: str
    claims: dict[str, str]
    snippet: Callable[[Setup], str]


class Setup(NamedTuple):
    """What is to be written, and the lines for the workflow."""

    mount: str
    role: str
    policy: str
    rules: str
    config: Object
    bound: Object
    body: Object
    address: str
    audience: str
    secret: str


def setup(session: Session) -> int:
    """Print what lets a repository's jobs log in, and write it with -apply."""
    system = SYSTEMS[_kind(session)]
    made = _setup(session, system)
    if session.flags.switch("apply"):
        _apply(session, made)
    if not session.is_table or session.flags.given("field"):
        return session.show_data(_whole(made, system))
    session.say(_explained(made, system, applied=session.flags.switch("apply")))
    return 0


def _kind(session: Session) -> str:
    kind = session.arguments[0]
    if kind not in SYSTEMS:
        raise UsageError(f"the CI system is one of: {', '.join(SYSTEMS)}")
    return kind


def _setup(session: Session, system: System) -> Setup:
    flags, kind = session.flags, session.arguments[0]
    repository = flags.text("repo").strip("/")
    if repository.count("/") < 1:
        raise UsageError("-repo=OWNER/NAME is needed: the repository, or project, whose jobs may log in")
    if not (flags.given("ref") or flags.given("environment")):
        raise UsageError("-ref or -environment is needed: else jobs of any branch and any fork's pull request could log in")
    issuer = flags.text("issuer", system.issuer).rstrip("/")
    address = session.settings().address
    audience = flags.text("audience", address)
    name = flags.text("role") or repository.replace("/", "-").lower()
    bound: Object = {claim: flags.text(flag).strip("/") for flag, claim in system.claims.items() if flags.given(flag)}
    secret = flags.text("secret").strip("/")
    policy = flags.text("policy") or (f"ci-{name}" if secret else "")
    if not policy:
        raise UsageError("-secret=MOUNT/PATH or -policy=NAME is needed: what the jobs may do")
    config: Object = {"oidc_discovery_url": issuer, "bound_issuer": issuer}
    if flags.given("issuer-ca"):
        config["oidc_discovery_ca_pem"] = session.sources.file(flags.text("issuer-ca"))
    body: Object = {
        "role_type": "jwt",
        "user_claim": system.user_claim,
        "bound_audiences": [audience],
        "bound_claims_type": "string",
        "bound_claims": bound,
        "token_policies": [policy],
        "token_ttl": TTL,
        "token_max_ttl": TTL,
    }
    mount = flags.text("path", f"jwt-{kind}").strip("/")
    return Setup(mount, name, policy, _rules(secret), config, bound, body, address, audience, secret)


def _rules(secret: str) -> str:
    if not secret:
        return ""
    mount, _, path = secret.partition("/")
    return f'path "{mount}/data/{path or "*"}" {{\n  capabilities = ["read"]\n}}\n'


def _apply(session: Session, made: Setup) -> None:
    client = session.client
    if f"{made.mount}/" not in client.read("sys/auth").data:
        client.write(f"sys/auth/{made.mount}", {"type": "jwt"})
    client.write(f"auth/{made.mount}/config", made.config)
    if made.rules:
        client.write(f"sys/policies/acl/{made.policy}", {"policy": made.rules})
    client.write(f"auth/{made.mount}/role/{made.role}", made.body)


def _whole(made: Setup, system: System) -> Object:
    return {
        "mount": made.mount,
        "config": made.config,
        "role": made.role,
        "role_body": made.body,
        "policy": made.policy,
        "policy_rules": made.rules,
        "snippet": system.snippet(made),
    }


def _explained(made: Setup, system: System, *, applied: bool) -> str:
    said = "Written to the server:" if applied else "With -apply this is written to the server:"
    parts = [
        f"# {said}",
        f"auth/{made.mount}/config {values.encode(made.config)}",
        f"auth/{made.mount}/role/{made.role} {values.encode(made.body, '  ')}",
    ]
    if made.rules:
        parts.append(f"policy {made.policy}:\n{made.rules.rstrip()}")
    return "\n\n".join([*parts, "# For the repository:", system.snippet(made).rstrip()])


def _paths(made: Setup) -> str:
    mount, _, path = (made.secret or "secret/example").partition("/")
    return f"{mount}/data/{path.rstrip('/*') or 'example'}"


def _github(made: Setup) -> str:
    environment = f"    environment: {made.bound['environment']}\n" if "environment" in made.bound else ""
    return f"""\
permissions:
  id-token: write
  contents: read
jobs:
  deploy:
    runs-on: ubuntu-latest
{environment}    steps:
      - uses: hashicorp/vault-action@v3
        with:
          url: {made.address}
          method: jwt
          path: {made.mount}
          role: {made.role}
          jwtGithubAudience: {made.audience}
          secrets: |
            {_paths(made)} password | PASSWORD
"""


def _gitlab(made: Setup) -> str:
    environment = f"  environment: {made.bound['environment']}\n" if "environment" in made.bound else ""
    login = f"strongroom login -method=jwt -path={made.mount} -token-only role={made.role} jwt=-"
    mount, _, path = (made.secret or "secret/example").partition("/")
    return f"""\
deploy:
{environment}  variables:
    VAULT_ADDR: {made.address}
  id_tokens:
    VAULT_ID_TOKEN:
      aud: {made.audience}
  script:
    - export VAULT_TOKEN="$(printf %s "$VAULT_ID_TOKEN" | {login})"
    - strongroom kv get -mount={mount} -field=password {path.rstrip("/*") or "example"}
"""


SYSTEMS = {
    "github": System(
        "https://token.actions.githubusercontent.com",
        "repository",
        {"repo": "repository", "ref": "ref", "environment": "environment", "owner-id": "repository_owner_id"},
        _github,
    ),
    "gitlab": System(
        "https://gitlab.com",
        "project_path",
        {"repo": "project_path", "ref": "ref", "environment": "environment", "owner-id": "namespace_id"},
        _gitlab,
    ),
}

COMMANDS = (
    Command(
        "ci setup",
        "github|gitlab",
        setup,
        (
            Flag("repo", "Repository or project whose jobs may log in: OWNER/NAME."),
            Flag("ref", "Ref that they must run for: refs/heads/main at GitHub, main at GitLab."),
            Flag("environment", "Environment that they must run in."),
            Flag("owner-id", "Number of the owner, which stays when a name is given to somebody else."),
            Flag("secret", "What they may read of a versioned key/value engine: MOUNT/PATH, or MOUNT/PATH/*."),
            Flag("policy", "Name of the policy; that of an existing one where -secret is not given."),
            Flag("role", "Name of the role; default: made of the repository's."),
            Flag("path", "Path of the auth method; default: jwt-github or jwt-gitlab."),
            Flag("audience", "Audience of the tokens; default: the server's address."),
            Flag("issuer", "Address of a GitHub Enterprise or GitLab server of your own."),
            Flag("issuer-ca", "PEM file of the authority that signed its certificate."),
            Flag("apply", "Write it to the server.", "switch"),
        ),
        1,
        1,
        "strongroom ci setup github -repo=acme/shop -environment=prod -secret=secret/shop/prod\n"
        "strongroom ci setup gitlab -repo=acme/shop -ref=main -secret='secret/shop/*' -apply",
    ),
)
