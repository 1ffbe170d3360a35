"""A corpus of certificate chains made by script, each with its verdict: what a client may log in with, and what not (T11.1).

Rules of this file:
- Keys are made once; the instant is that of `strongroom.testing`'s clock. A case is made when it is asked for.
- A verdict is "" for a client that is let in, and else a piece of the reason.
- What `cryptography` does not make any more (SHA-1, version 1) is put together from DER by hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from strongroom.testing.room import START

NOW = dt.datetime.fromtimestamp(START // 1_000_000_000, dt.UTC)
DAY = dt.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extensions = Sequence[tuple[x509.ExtensionType, bool]]
Made = tuple[x509.Certificate, Key]


@cache
def key(name: str) -> Key:
    """A key by its name: `rsa1024-…`, `p384-…`, `ed25519-…`; P-256 where the name says nothing."""
    match name.split("-", maxsplit=1)[0]:
        case "rsa1024":
            return rsa.generate_private_key(65_537, 1_024)
        case "rsa2048":
            return rsa.generate_private_key(65_537, 2_048)
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "k256":
            return ec.generate_private_key(ec.SECP256K1())
        case "p192":
            return ec.generate_private_key(ec.SECP192R1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(ec.SECP256R1())


def name(common: str | None, *units: str) -> x509.Name:
    """A subject."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    return x509.Name(attributes + ([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common is not None else []))


def issue(
    subject: str | x509.Name,
    signer: Made | None,
    extensions: Extensions = (),
    *,
    of: str = "",
    serial: int = 0,
    begins: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + 30 * DAY,
    issuer: x509.Name | None = None,
) -> Made:
    """A certificate, signed by another or by itself. `of` names its key, `issuer` who it says it is from."""
    subject = name(subject) if isinstance(subject, str) else subject
    own = key(of or subject.rfc4514_string())
    above, with_key = signer if signer is not None else (None, own)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or (above.subject if above is not None else subject))
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(with_key, None if isinstance(with_key, ed25519.Ed25519PrivateKey) else hashes.SHA256()), own


def authority(
    subject: str, signer: Made | None = None, *more: tuple[x509.ExtensionType, bool], length: int | None = None, **how: object
) -> Made:
    """A CA."""
    basic = (x509.BasicConstraints(ca=True, path_length=length), True)
    return issue(subject, signer, (basic, *more), **how)  # type: ignore[arg-type]


def usage(**on: bool) -> tuple[x509.KeyUsage, bool]:
    """A key usage with these bits."""
    bits = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign".split()
    return x509.KeyUsage(**{bit: on.get(bit, False) for bit in (*bits, "encipher_only", "decipher_only")}), True


def purpose(*purposes: x509.ObjectIdentifier) -> tuple[x509.ExtendedKeyUsage, bool]:
    """An extended key usage."""
    return x509.ExtendedKeyUsage(purposes), False


def alternatives(*names: x509.GeneralName) -> tuple[x509.SubjectAlternativeName, bool]:
    """Alternative names."""
    return x509.SubjectAlternativeName(names), False


def constraints(permitted: Sequence[x509.GeneralName] = (), excluded: Sequence[x509.GeneralName] = ()) -> tuple[x509.NameConstraints, bool]:
    """Name constraints."""
    return x509.NameConstraints(permitted or None, excluded or None), True


DNS, MAIL, URI, IP = x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier, x509.IPAddress
CLIENT, SERVER, ANY = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")


def revocations(
    signer: Made,
    *serials: int,
    issued: dt.datetime = NOW - DAY,
    ends: dt.datetime = NOW + DAY,
    by: Key | None = None,
    extensions: Extensions = (),
) -> bytes:
    """A revocation list in PEM; `by` signs it in place of the issuer."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(signer[0].subject).last_update(issued)
    builder = builder.next_update(ends)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(issued).build()
        builder = builder.add_revoked_certificate(revoked)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signing = by or signer[1]
    made = builder.sign(signing, None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return made.public_bytes(Encoding.PEM)


# -- DER by hand ------------------------------------------------------------------------------------------------------------------


def tlv(tag: int, content: bytes) -> bytes:
    """An element."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _ends(tlv: bytes) -> tuple[int, int]:
    """Where the content of the first element begins, and where it ends."""
    octets = tlv[1] & 0x7F if tlv[1] & 0x80 else 0
    size = int.from_bytes(tlv[2 : 2 + octets], "big") if octets else tlv[1]
    return 2 + octets, 2 + octets + size


def children(tlv: bytes) -> list[bytes]:
    """The elements inside of a constructed one, whole."""
    begin, end = _ends(tlv)
    rest, found = tlv[begin:end], []
    while rest:
        size = _ends(rest)[1]
        found.append(rest[:size])
        rest = rest[size:]
    return found


SHA1 = tlv(0x30, bytes.fromhex("06072a8648ce3d0401"))
"""ecdsa-with-SHA1."""


def rebuilt(made: Made, signer: Made, edit: Callable[[list[bytes]], list[bytes]], algorithm: bytes = b"") -> Made:
    """A certificate with other elements in its middle, signed anew by a P-256 key."""
    tbs, named, _ = children(made[0].public_bytes(Encoding.DER))
    parts = edit(children(tbs))
    if algorithm:
        parts = [algorithm if part == named else part for part in parts]
    tbs = tlv(0x30, b"".join(parts))
    by = signer[1]
    assert isinstance(by, ec.EllipticCurvePrivateKey)
    signature = by.sign(tbs, ec.ECDSA(hashes.SHA1() if algorithm else hashes.SHA256()))
    whole = tlv(0x30, tbs + (algorithm or named) + tlv(0x03, b"\0" + signature))
    return x509.load_der_x509_certificate(whole), made[1]


def first_version(parts: list[bytes]) -> list[bytes]:
    """Without version and extensions."""
    return [part for part in parts if part[0] not in (0xA0, 0xA3)]


# -- the corpus -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What is trusted, what a client presents, and what is to come of it."""

    trusted: Sequence[Made]
    leaf: Made
    others: Sequence[Made] = ()
    verdict: str = ""
    lists: Sequence[bytes] = field(default=())
    depth: int = 0
    """Certificates of the chain where it is let in; 0 = not looked at."""


CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Its name is what it is about."""
    CASES[make.__name__.replace("_", " ")] = make
    return make


NO_WAY = "invalid certificate or no client certificate supplied"
REVOKED = "it, or a certificate above it, is revoked"

ROOT = authority("root")
MIDDLE = authority("middle", ROOT)
OTHER = authority("other root")


def under_root(verdict: str = "", *extensions: tuple[x509.ExtensionType, bool], depth: int = 0, **how: object) -> Case:
    """A client of the root itself."""
    return Case([ROOT], issue("client", ROOT, extensions, **how), (), verdict, depth=depth)  # type: ignore[arg-type]


def under(middle: Made, verdict: str = "", *extensions: tuple[x509.ExtensionType, bool], subject: str | x509.Name = "client") -> Case:
    """A client of an intermediate of the root."""
    return Case([ROOT], issue(subject, middle, extensions), [middle], verdict)


def constrained(
    verdict: str, limits: tuple[x509.NameConstraints, bool], *names: x509.GeneralName, common: str | x509.Name = "client"
) -> Case:
    """A client of an intermediate under name constraints."""
    return under(authority("limited", ROOT, limits), verdict, *([alternatives(*names)] if names else []), subject=common)


# let in


@case
def a_plain_client() -> Case:
    return under_root(depth=2)


@case
def a_client_for_client_authentication() -> Case:
    return under_root("", purpose(CLIENT), usage(digital_signature=True))


@case
def a_client_for_both_ends() -> Case:
    return under_root("", purpose(SERVER, CLIENT))


@case
def a_client_for_any_purpose() -> Case:
    return under_root("", purpose(ANY))


@case
def a_client_with_an_unknown_extension() -> Case:
    return under_root("", (UNKNOWN, False))


@case
def a_client_that_says_it_is_no_CA() -> Case:
    return under_root("", (x509.BasicConstraints(ca=False, path_length=None), True))


@case
def a_client_with_critical_alternative_names() -> Case:
    return under_root("", (x509.SubjectAlternativeName([DNS("a.example")]), True))


@case
def a_client_of_an_intermediate() -> Case:
    return Case([ROOT], issue("client", MIDDLE), [MIDDLE], depth=3)


@case
def an_intermediate_that_is_trusted_itself() -> Case:
    return Case([MIDDLE], issue("client", MIDDLE), [MIDDLE], depth=2)


@case
def others_in_any_order_and_the_root_among_them() -> Case:
    deep = authority("deep", MIDDLE)
    return Case([ROOT], issue("client", deep), [ROOT, MIDDLE, OTHER, deep], depth=4)


@case
def the_second_of_two_trusted_authorities() -> Case:
    return Case([OTHER, ROOT], issue("client", ROOT), depth=2)


@case
def an_intermediate_known_from_the_bundle() -> Case:
    return Case([ROOT, MIDDLE], issue("client", MIDDLE), depth=2)


@case
def six_intermediates() -> Case:
    chain = [ROOT]
    for number in range(6):
        chain.append(authority(f"level {number}", chain[-1]))
    return Case([ROOT], issue("client", chain[-1]), chain[1:], depth=8)


@case
def a_path_length_that_is_kept() -> Case:
    return under(authority("short", ROOT, length=0))


@case
def an_RSA_2048_client() -> Case:
    return under_root("", of="rsa2048-client")


@case
def a_P384_client_of_a_P521_root() -> Case:
    root = authority("root", of="p521-root")
    return Case([root], issue("client", root, of="p384-client"))


@case
def an_Ed25519_client() -> Case:
    return under_root("", of="ed25519-client")


@case
def an_RSA_2048_root() -> Case:
    root = authority("root", of="rsa2048-root")
    return Case([root], issue("client", root))


@case
def a_pinned_certificate() -> Case:
    pinned = issue("client", OTHER)
    return Case([pinned], pinned, depth=1)


@case
def a_pinned_self_signed_certificate() -> Case:
    pinned = issue("client", None)
    return Case([pinned], pinned, depth=1)


@case
def a_pinned_certificate_beside_authorities() -> Case:
    pinned = issue("client", None)
    return Case([ROOT, pinned, OTHER], pinned, depth=1)


@case
def a_pinned_self_signed_certificate_that_calls_itself_a_CA() -> Case:
    pinned = authority("client")
    return Case([pinned], pinned, depth=1)


@case
def names_within_constraints() -> Case:
    return constrained("", constraints([DNS("a.example"), MAIL("a.example")]), DNS("x.a.example"), MAIL("m@a.example"))


@case
def a_common_name_within_constraints() -> Case:
    return constrained("", constraints([DNS("a.example")]), common="x.a.example")


@case
def a_common_name_that_is_no_host_under_constraints() -> Case:
    return constrained("", constraints([DNS("a.example")]), common="billing service")


@case
def an_address_within_constraints() -> Case:
    return constrained("", constraints([IP(ip_network("10.0.0.0/8"))]), IP(ip_address("10.1.2.3")))


@case
def an_intermediate_for_clients_only() -> Case:
    return under(authority("clients", ROOT, purpose(CLIENT)))


@case
def an_intermediate_whose_key_signs_certificates() -> Case:
    return under(authority("signer", ROOT, usage(key_cert_sign=True, crl_sign=True)))


@case
def a_serial_number_that_another_authority_revoked() -> Case:
    return Case([ROOT], issue("client", ROOT, serial=7), lists=[revocations(OTHER, 7)])


@case
def a_list_that_names_others() -> Case:
    return Case([ROOT], issue("client", ROOT, serial=7), lists=[revocations(ROOT, 8, 9)])


# time


@case
def an_expired_client() -> Case:
    return under_root("it has expired", ends=NOW - dt.timedelta(seconds=1))


@case
def a_client_not_yet_valid() -> Case:
    return under_root("it is not valid yet", begins=NOW + dt.timedelta(seconds=1))


@case
def an_expired_intermediate() -> Case:
    return under(authority("middle", ROOT, ends=NOW - dt.timedelta(seconds=1)), NO_WAY)


@case
def an_intermediate_not_yet_valid() -> Case:
    return under(authority("middle", ROOT, begins=NOW + dt.timedelta(hours=1)), NO_WAY)


@case
def an_expired_root() -> Case:
    root = authority("root", ends=NOW - dt.timedelta(seconds=1))
    return Case([root], issue("client", root), verdict=NO_WAY)


@case
def an_expired_pinned_certificate() -> Case:
    pinned = issue("client", None, ends=NOW - dt.timedelta(seconds=1))
    return Case([pinned], pinned, verdict="it has expired")


@case
def a_pinned_certificate_not_yet_valid() -> Case:
    pinned = issue("client", None, begins=NOW + dt.timedelta(hours=1))
    return Case([pinned], pinned, verdict="it is not valid yet")


# usage


@case
def a_client_for_servers_only() -> Case:
    return under_root("its extended key usage", purpose(SERVER))


@case
def a_client_for_signing_code() -> Case:
    return under_root("its extended key usage", purpose(ExtendedKeyUsageOID.CODE_SIGNING))


@case
def a_client_whose_key_is_for_encipherment() -> Case:
    return under_root("its key usage", usage(key_encipherment=True))


@case
def a_CA_that_logs_in_itself() -> Case:
    return Case([ROOT], MIDDLE, verdict=NO_WAY)


@case
def an_intermediate_for_servers_only() -> Case:
    return under(authority("servers", ROOT, purpose(SERVER)), NO_WAY)


@case
def an_intermediate_whose_key_signs_no_certificates() -> Case:
    return under(authority("signer", ROOT, usage(digital_signature=True, crl_sign=True)), NO_WAY)


@case
def an_intermediate_that_is_no_CA() -> Case:
    return under(issue("no authority", ROOT), NO_WAY)


@case
def an_intermediate_that_says_it_is_no_CA() -> Case:
    return under(issue("no authority", ROOT, [(x509.BasicConstraints(ca=False, path_length=None), True)]), NO_WAY)


@case
def a_path_length_that_is_exceeded() -> Case:
    short = authority("short", ROOT, length=0)
    longer = authority("longer", short)
    return Case([ROOT], issue("client", longer), [longer, short], NO_WAY)


@case
def a_root_whose_path_length_is_exceeded() -> Case:
    root = authority("root", length=0)
    middle = authority("middle", root)
    return Case([root], issue("client", middle), [middle], NO_WAY)


@case
def seven_intermediates() -> Case:
    chain = [ROOT]
    for number in range(7):
        chain.append(authority(f"level {number}", chain[-1]))
    return Case([ROOT], issue("client", chain[-1]), chain[1:], NO_WAY)


@case
def more_certificates_than_anybody_needs() -> Case:
    return Case([ROOT], issue("client", ROOT), [authority(f"extra {number}") for number in range(10)], "more than 10 certificates")


# who issued it


@case
def an_unknown_authority() -> Case:
    return Case([ROOT], issue("client", OTHER), verdict=NO_WAY)


@case
def an_unknown_authority_that_comes_along() -> Case:
    return Case([ROOT], issue("client", OTHER), [OTHER], NO_WAY)


@case
def a_self_signed_client() -> Case:
    return Case([ROOT], issue("client", None), verdict=NO_WAY)


@case
def a_missing_intermediate() -> Case:
    return Case([ROOT], issue("client", MIDDLE), verdict=NO_WAY)


@case
def an_authority_of_the_same_name_with_another_key() -> Case:
    return Case([ROOT], issue("client", authority("root", of="impostor")), verdict=NO_WAY)


@case
def an_impostor_among_the_others() -> Case:
    impostor = authority("root", of="impostor")
    return Case([ROOT], issue("client", impostor), [impostor], NO_WAY)


@case
def a_client_that_names_the_root_and_is_signed_by_itself() -> Case:
    return Case([ROOT], issue("client", None, issuer=ROOT[0].subject), verdict=NO_WAY)


@case
def two_authorities_that_issue_each_other() -> Case:
    left, right = authority("left"), authority("right")
    left_by_right, right_by_left = authority("left", right), authority("right", left)
    return Case([ROOT], issue("client", left), [left_by_right, right_by_left], NO_WAY)


@case
def a_broken_signature() -> Case:
    leaf, own = issue("client", ROOT)
    content = bytearray(leaf.public_bytes(Encoding.DER))
    content[-1] ^= 1
    return Case([ROOT], (x509.load_der_x509_certificate(bytes(content)), own), verdict=NO_WAY)


@case
def a_client_whose_issuer_is_pinned_only() -> Case:
    pinned = issue("no authority", None)
    return Case([pinned], issue("client", pinned), verdict=NO_WAY)


# pinned: nothing but the same bytes (CVE-2024-2048, CVE-2025-6037)


def pinned_with_serial(serial: int = 77) -> Made:
    return issue("pinned", OTHER, serial=serial, of="pinned key")


@case
def the_same_serial_number_with_another_key() -> Case:
    return Case([pinned_with_serial()], issue("pinned", OTHER, serial=77, of="other key"), verdict=NO_WAY)


@case
def the_same_key_with_another_common_name() -> Case:
    return Case([pinned_with_serial()], issue("admin", OTHER, serial=77, of="pinned key"), verdict=NO_WAY)


@case
def the_same_key_self_signed() -> Case:
    return Case([pinned_with_serial()], issue("pinned", None, serial=77, of="pinned key"), verdict=NO_WAY)


@case
def the_same_key_and_name_with_another_serial_number() -> Case:
    return Case([pinned_with_serial()], pinned_with_serial(78), verdict=NO_WAY)


@case
def the_same_key_with_later_dates() -> Case:
    return Case([pinned_with_serial()], issue("pinned", OTHER, serial=77, of="pinned key", ends=NOW + 300 * DAY), verdict=NO_WAY)


@case
def a_pinned_certificate_among_the_others() -> Case:
    pinned = pinned_with_serial()
    return Case([pinned], issue("admin", None), [pinned], NO_WAY)


# strength and form


@case
def a_SHA1_signature() -> Case:
    return Case([ROOT], rebuilt(issue("client", ROOT), ROOT, list, SHA1), verdict=NO_WAY)


@case
def a_SHA1_signature_on_an_intermediate() -> Case:
    return under(rebuilt(authority("weak", ROOT), ROOT, list, SHA1), NO_WAY)


@case
def an_RSA_1024_client() -> Case:
    return under_root("its key is too weak", of="rsa1024-client")


@case
def an_RSA_1024_root() -> Case:
    root = authority("root", of="rsa1024-root")
    return Case([root], issue("client", root), verdict=NO_WAY)


@case
def a_P192_client() -> Case:
    return under_root("its key is too weak", of="p192-client")


@case
def a_client_on_a_curve_of_coins() -> Case:
    return under_root("its key is too weak", of="k256-client")


@case
def an_RSA_1024_pinned_certificate() -> Case:
    pinned = issue("client", None, of="rsa1024-client")
    return Case([pinned], pinned, verdict="its key is too weak")


@case
def a_version_1_client() -> Case:
    return Case([ROOT], rebuilt(issue("client", ROOT), ROOT, first_version), verdict="it is not of version 3")


@case
def a_version_1_intermediate() -> Case:
    return under(rebuilt(authority("old", ROOT), ROOT, first_version), NO_WAY)


@case
def a_critical_extension_that_is_not_understood() -> Case:
    return under_root("critical extension", (UNKNOWN, True))


@case
def a_pinned_certificate_with_a_critical_extension_that_is_not_understood() -> Case:
    pinned = issue("client", None, [(UNKNOWN, True)])
    return Case([pinned], pinned, verdict="critical extension")


@case
def an_intermediate_with_a_critical_extension_that_is_not_understood() -> Case:
    return under(authority("strange", ROOT, (UNKNOWN, True)), NO_WAY)


@case
def critical_policies() -> Case:
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
    return under_root("critical extension", (policies, True))


# name constraints


@case
def a_DNS_name_outside_constraints() -> Case:
    return constrained(NO_WAY, constraints([DNS("a.example")]), DNS("x.b.example"))


@case
def a_DNS_name_that_only_ends_like_the_constraint() -> Case:
    return constrained(NO_WAY, constraints([DNS("a.example")]), DNS("x.bada.example"))


@case
def an_excluded_DNS_name() -> Case:
    return constrained(NO_WAY, constraints([], [DNS("a.example")]), DNS("x.a.example"))


@case
def one_DNS_name_inside_and_one_outside() -> Case:
    return constrained(NO_WAY, constraints([DNS("a.example")]), DNS("x.a.example"), DNS("x.b.example"))


@case
def an_address_outside_constraints() -> Case:
    return constrained(NO_WAY, constraints([IP(ip_network("10.0.0.0/8"))]), IP(ip_address("192.0.2.1")))


@case
def an_e_mail_address_outside_constraints() -> Case:
    return constrained(NO_WAY, constraints([MAIL("a.example")]), MAIL("m@b.example"))


@case
def a_URI_under_constraints_that_cannot_be_judged() -> Case:
    return constrained(NO_WAY, constraints([URI("a.example")]), URI("spiffe://a.example/x"))


@case
def a_directory_name_under_constraints_that_cannot_be_judged() -> Case:
    return constrained(NO_WAY, constraints([x509.DirectoryName(name("somebody"))]))


@case
def a_common_name_outside_constraints() -> Case:
    return constrained(NO_WAY, constraints([DNS("a.example")]), common="admin.b.example")


@case
def an_excluded_common_name() -> Case:
    return constrained(NO_WAY, constraints([], [DNS("b.example")]), common="Admin.B.Example.")


@case
def a_common_name_outside_constraints_beside_a_name_inside() -> Case:
    return constrained(NO_WAY, constraints([DNS("a.example")]), DNS("x.a.example"), common="admin.b.example")


@case
def an_e_mail_address_as_common_name_outside_constraints() -> Case:
    return constrained(NO_WAY, constraints([MAIL("a.example")]), common="m@b.example")


@case
def constraints_of_the_root() -> Case:
    root = authority("root", None, constraints([DNS("a.example")]))
    return Case([root], issue("client", root, [alternatives(DNS("x.b.example"))]), verdict=NO_WAY)


# names


@case
def a_common_name_with_a_NUL() -> Case:
    return Case([ROOT], issue("admin\0.evil", ROOT), verdict="cannot be printed")


@case
def a_common_name_with_a_direction_mark() -> Case:
    return Case([ROOT], issue("admin\u202e", ROOT), verdict="cannot be printed")


@case
def a_common_name_in_a_second_spelling() -> Case:
    return Case([ROOT], issue("Jose\u0301", ROOT), verdict="not in one way only")


@case
def a_common_name_with_a_space_at_its_end() -> Case:
    return Case([ROOT], issue("client ", ROOT), verdict="not in one way only")


@case
def two_common_names() -> Case:
    both = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("client", "admin")])
    return Case([ROOT], issue(both, ROOT, of="client"), verdict="more than one common name")


@case
def no_common_name() -> Case:
    return Case([ROOT], issue(name(None, "unit"), ROOT, of="client"), verdict="no common name")


# revocation


@case
def a_revoked_client() -> Case:
    return Case([ROOT], issue("client", ROOT, serial=7), verdict=REVOKED, lists=[revocations(ROOT, 6, 7)])


@case
def a_client_of_a_revoked_intermediate() -> Case:
    middle = authority("middle", ROOT, serial=9)
    return Case([ROOT], issue("client", middle), [middle], REVOKED, [revocations(ROOT, 9)])


@case
def a_client_revoked_by_an_intermediate() -> Case:
    return Case([ROOT], issue("client", MIDDLE, serial=7), [MIDDLE], REVOKED, [revocations(OTHER, 1), revocations(MIDDLE, 7)])


@case
def a_client_revoked_by_a_list_that_has_ended() -> Case:
    return Case(
        [ROOT], issue("client", ROOT, serial=7), verdict=REVOKED, lists=[revocations(ROOT, 7, issued=NOW - 9 * DAY, ends=NOW - 2 * DAY)]
    )


@case
def a_revoked_pinned_certificate() -> Case:
    pinned = pinned_with_serial()
    return Case([pinned], pinned, verdict=REVOKED, lists=[revocations(OTHER, 77)])
