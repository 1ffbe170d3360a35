"""A real OpenLDAP server of Debian's, private to a test: its own directory, ports on loopback, and a certificate of the test's authority.

Rules of this file: the tree is small and has what goes wrong in the field: names with special characters, an entry with two values of
`uid`, nested and posix groups, a reference to another server, an account that may see two entries of a search, and one that sees none.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.client.certificates import Authority, make_authority, make_certificate
from tests.conformance.server import free_port
from tests.support.waiting import listening, until

SLAPD: Final = shutil.which("slapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SLAPADD: Final = shutil.which("slapadd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_slapd = pytest.mark.skipif(SLAPD is None or SLAPADD is None, reason="slapd is not installed")

BASE: Final = "dc=example,dc=com"
MOUNT: Final = f"cn=strongroom,{BASE}"
"""The account that looks for users."""
MOUNT_PASSWORD: Final = "look-around"
LIMITED: Final = f"cn=limited,{BASE}"
"""An account that is shown two entries of a search, or pages of two."""
BLIND: Final = f"cn=blind,{BASE}"
"""An account that may see no groups."""

CONFIG: Final = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {directory}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
TLSVerifyClient {verify}
database mdb
suffix "{base}"
directory {directory}/data
limits dn.exact="{limited}" size.soft=2 size.hard=2 size.pr=2 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=groups,{base}" by dn.exact="{blind}" none by * read
access to * by * read
"""


class Slapd(NamedTuple):
    """A running server. `referred` counts whoever came where its reference leads."""

    port: int
    tls_port: int
    authority: Authority
    elsewhere: socket.socket

    @property
    def url(self) -> str:
        """Without TLS, unless it is started."""
        return f"ldap://localhost:{self.port}"

    @property
    def tls_url(self) -> str:
        """With TLS from the first byte on."""
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ca(self) -> str:
        """The PEM text of its authority."""
        return self.authority.path.read_text()

    def referred(self) -> bool:
        """Whether anybody followed the reference."""
        self.elsewhere.settimeout(0)
        with contextlib.suppress(OSError):
            self.elsewhere.accept()[0].close()
            return True
        return False


def hashed(password: str) -> str:
    """A password as OpenLDAP stores it by default: salted SHA-1."""
    salt = os.urandom(8)
    digest = hashlib.sha1(password.encode() + salt).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def person(name: str, password: str, *, cn: str = "", more: str = "") -> str:
    """The LDIF of somebody."""
    return (
        f"dn: uid={name},ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {cn or name}\nsn: {name}\n"
        f"userPassword: {hashed(password)}\n{more}\n"
    )


def account(dn: str, password: str) -> str:
    """The LDIF of an account that is nobody's."""
    cn = dn.split(",", maxsplit=1)[0].removeprefix("cn=")
    return f"dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: {cn}\nuserPassword: {hashed(password)}\n\n"


def group(name: str, *members: str) -> str:
    """The LDIF of a group that names its members."""
    lines = "".join(f"member: uid={member},ou=people,{BASE}\n" for member in members)
    return f"dn: cn={name},ou=groups,{BASE}\nobjectClass: groupOfNames\ncn: {name}\n{lines}\n"


def reference(name: str, url: str) -> str:
    """The LDIF of a part of the tree that another server has."""
    return f"dn: ou={name},ou=people,{BASE}\nobjectClass: referral\nobjectClass: extensibleObject\nou: {name}\nref: {url}\n"


def tree(elsewhere: int) -> str:
    """All of it."""
    return "\n".join(
        [
            f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n",
            f"dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n",
            f"dn: ou=groups,{BASE}\nobjectClass: organizationalUnit\nou: groups\n",
            reference("elsewhere", f"ldap://127.0.0.1:{elsewhere}/ou=people,{BASE}"),
            account(MOUNT, MOUNT_PASSWORD),
            account(LIMITED, MOUNT_PASSWORD),
            account(BLIND, MOUNT_PASSWORD),
            person("alice", "wonderland", cn="Alice Liddell", more="mail: alice@example.com\n"),
            person("bob", "builder"),
            person("twice", "twofold", more="uid: thrice\n"),
            person("umlaut", "umlaut", cn="Jörg"),
            person("star*", "starred", cn="a star"),
            group("dev", "alice", "bob"),
            group("Domain Admins", "alice"),
            group("alumni", "alice"),
            group("empty", "nobody"),
            f"dn: cn=posix,ou=groups,{BASE}\nobjectClass: posixGroup\ncn: posix\ngidNumber: 100\nmemberUid: alice\n",
        ]
    )


@contextlib.contextmanager
def running_slapd(directory: Path, *, verify: str = "never") -> Iterator[Slapd]:
    """A server until the block ends. `verify`: what it asks of clients' certificates ("demand" or "never")."""
    assert SLAPD is not None and SLAPADD is not None
    (directory / "data").mkdir(parents=True)
    authority = make_authority(directory)
    certificate, key = make_certificate(directory, authority, "localhost")
    elsewhere = socket.create_server(("127.0.0.1", 0))
    found = Slapd(free_port(), free_port(), authority, elsewhere)
    config = directory / "slapd.conf"
    words = {"directory": directory, "ca": authority.path, "certificate": certificate, "key": key, "verify": verify}
    config.write_text(CONFIG.format(base=BASE, limited=LIMITED, blind=BLIND, **words))
    ldif = tree(elsewhere.getsockname()[1])
    subprocess.run([SLAPADD, "-q", "-f", str(config)], input=ldif, text=True, check=True, capture_output=True, timeout=30)
    addresses = f"ldap://127.0.0.1:{found.port} ldaps://127.0.0.1:{found.tls_port}"
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen([SLAPD, "-d", "none", "-h", addresses, "-f", str(config)], stdout=output, stderr=output)
    try:
        _wait_ready(found.tls_port, process)
        yield found
    finally:
        process.terminate()
        process.wait(20)
        elsewhere.close()


def _wait_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    until(lambda: listening(port) or process.poll() is not None, 20, "slapd does not listen")
    assert process.poll() is None, "slapd ended at once"
