"""How a command is declared: one frozen value with its words, flags, arguments and function.

Rules of this file:
- Everything the user can learn about a command (help, completion, argument errors) comes from its `Command`.
- The flags every command takes stand here once, in `GLOBAL_FLAGS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from strongroom.cli.flags import Flag
from strongroom.cli.output import FORMATS

if TYPE_CHECKING:
    from strongroom.cli.session import Session

MANY = 1_000_000


class Command(NamedTuple):
    """One command. `least` and `most` count its arguments; `detail` is printed by -help; what `run` says of itself is the summary."""

    name: str
    arguments: str
    run: Callable[[Session], int]
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int = 0
    detail: str = ""

    @property
    def summary(self) -> str:
        """One line on what it does."""
        return (self.run.__doc__ or "").partition("\n")[0]


OUTPUT_FLAGS = (
    Flag("format", "Print as table, json or yaml; VAULT_FORMAT sets the default.", choices=FORMATS),
    Flag("field", "Print only this field, without a header."),
    Flag("no-color", "Accepted for Vault's scripts; the output has no colours.", "switch"),
)

CONNECTION_FLAGS = (
    Flag("address", "Address of the server, such as https://127.0.0.1:8200 or unix:///path; VAULT_ADDR."),
    Flag("ca-cert", "PEM file of the authority that signed the server's certificate; VAULT_CACERT."),
    Flag("ca-path", "Folder of such files; VAULT_CAPATH."),
    Flag("client-cert", "PEM file of the certificate to show to the server; VAULT_CLIENT_CERT."),
    Flag("client-key", "PEM file of its key; VAULT_CLIENT_KEY."),
    Flag("tls-server-name", "Name to expect in the server's certificate; VAULT_TLS_SERVER_NAME."),
    Flag("tls-skip-verify", "Do not check the server's certificate: whoever answers gets the token. VAULT_SKIP_VERIFY.", "switch"),
    Flag("namespace", "Namespace of the request; VAULT_NAMESPACE.", aliases=("ns",)),
    Flag("header", "Send this header too, as Name=value.", "many"),
    Flag("mfa", "Credentials for X-Vault-MFA, as method-id[:passcode].", "many"),
    Flag("wrap-ttl", "Ask for the answer wrapped in a token of this lifetime; VAULT_WRAP_TTL."),
    Flag("output-curl-string", "Print the request as a curl command instead of sending it.", "switch"),
    Flag("output-policy", "Print the policy that allows the request instead of sending it.", "switch"),
    Flag("non-interactive", "Never ask; fail where a question would be asked.", "switch"),
)

GLOBAL_FLAGS = (*OUTPUT_FLAGS, *CONNECTION_FLAGS)
