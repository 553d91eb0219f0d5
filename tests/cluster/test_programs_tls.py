"""A balancer with its own certificate is started, asked and shown as what it is."""

from cluster.load import parse
from cluster.programs import Role, programs_of

CONFIG = """{"balancers": [{"name": "b1", "port": 8443, "tls": {"certificate": "c.pem", "key": "k.pem"}}],
             "nodes": [{"name": "l1", "port": 5001}]}"""


def test_the_address_of_a_balancer_with_a_certificate_is_https() -> None:
    programs = programs_of(parse(CONFIG))
    assert [p.url() for p in programs if p.role is Role.BALANCER] == ["https://127.0.0.1:8443"]
    assert [p.url() for p in programs if p.role is Role.NODE] == ["http://127.0.0.1:5001"]
