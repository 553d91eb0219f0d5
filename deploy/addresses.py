"""At which address others on the LAN reach this machine."""

import socket
import struct

_SIOCGIFADDR = 0x8915  # linux/sockios.h


def lan_address() -> str | None:
    """This machine's IPv4 address on the LAN; None when there is only loopback.

    The interface of the default route is preferred, because a computer with virtual machines or containers has many.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: belongs to nobody; connecting a datagram socket sends nothing
            address: str = probe.getsockname()[0]
            return address
        except OSError:
            pass
        import fcntl  # which Windows lacks; there the above finds it

        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:  # an interface without an IPv4 address
                continue
            address = socket.inet_ntoa(answer[20:24])
            if not address.startswith("127."):
                return address
    return None
