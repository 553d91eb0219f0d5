"""What a request asks for: its target in the form a node is sent, and the one host that it names.

RFC 9112 section 3.2: origin form, absolute form (made origin form), or the asterisk of OPTIONS; one valid Host, which
agrees with the target's authority. Whatever names two hosts, or something that is not one, is refused.
"""

import ipaddress
import re

from cluster.errors import BadRequest, NotImplementedHere

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_VISIBLE = re.compile(rb"[!-\"$-~]*")  # all but blanks, controls, # and what is beyond ASCII
_PORT = rb"(?::(?:[0-9]{0,4}|[1-5][0-9]{4}|6(?:[0-4][0-9]{3}|5(?:[0-4][0-9]{2}|5(?:[0-2][0-9]|3[0-5])))))?"
_HOST = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)" + _PORT)
_DEFAULT_PORT = {b"http": re.compile(rb":(?:80)?$"), b"https": re.compile(rb":(?:443)?$")}

_known_hosts: set[bytes] = set()


def target_and_host(method: bytes, raw: bytes, hosts: list[bytes], version_1_1: bool) -> tuple[bytes, bytes]:
    """(target for the node, host; b"" when an HTTP/1.0 request names none). `hosts`: the values of all Host fields.

    BadRequest or NotImplementedHere when the request has no target or host that all would read alike.
    """
    if method == b"CONNECT":
        raise NotImplementedHere("connect", "CONNECT is not done here: this is not a forward proxy", 405)
    if len(hosts) > 1 or (not hosts and version_1_1):
        raise BadRequest("host", "exactly one Host field is needed (RFC 9112 section 3.2)")
    host = hosts[0].strip(b" \t") if hosts else b""
    if hosts and host not in _known_hosts:
        _check_host(host, "the Host field")
    if raw[:1] == b"/":
        target = raw
    elif absolute := _ABSOLUTE.fullmatch(raw):
        scheme, authority, target = absolute.groups()
        _check_host(authority, "the target's authority")
        if hosts and _without_default_port(scheme, authority) != _without_default_port(scheme, host):
            raise BadRequest("host", "the target's authority and the Host field differ")
        host = authority
        if target[:1] != b"/":  # RFC 9112 section 3.2.4: OPTIONS without any path is about the server as a whole
            target = b"*" if method == b"OPTIONS" and not target else b"/" + target
    elif raw == b"*" and method == b"OPTIONS":
        target = raw
    else:
        raise BadRequest("target", "the request target must begin with /")
    if not _VISIBLE.fullmatch(target):
        raise BadRequest("target", "the request target holds a character that must be percent-encoded")
    return target, host


def _check_host(host: bytes, what: str) -> None:
    """BadRequest when it is not a host with an optional port. An http URI must name one (RFC 9110 section 4.2.1)."""
    match = _HOST.fullmatch(host)
    try:
        if match and match[1] is not None:
            ipaddress.IPv6Address(match[1].decode())
    except ValueError:
        match = None
    if not match:
        raise BadRequest("host", f"{what} is not a host name or address with an optional port")
    if len(_known_hosts) < 1000:
        _known_hosts.add(host)


def _without_default_port(scheme: bytes, host: bytes) -> bytes:
    """RFC 9110 section 4.2.3: a scheme's own port may be left out; names do not care for case."""
    return _DEFAULT_PORT[scheme.lower()].sub(b"", host.lower())
