"""The other balancers, each in its own configuration language.

Each gets the work that ours does: see balancers.py. What an algorithm of ours is called there, where it has it, stands
in the dictionary beside its function; where it does not, it is left out of that scenario.
"""

import json
import os
from pathlib import Path
from typing import Any

from lab.bench.place import HEALTH, MANY, Place, find
from lab.bench.processes import Command

HAPROXY = {
    "round_robin": "roundrobin", "least_connections": "leastconn", "weighted": "roundrobin",
    "power_of_two": "random(2)", "consistent_hash": "source",
}  # fmt: skip
NGINX = {
    "round_robin": "", "least_connections": "least_conn;", "weighted": "", "power_of_two": "random two least_conn;",
    "consistent_hash": "hash $remote_addr consistent;",
}  # fmt: skip
CADDY = {
    "round_robin": "round_robin", "least_connections": "least_conn", "power_of_two": "random_choose 2",
    "consistent_hash": "ip_hash",
}  # fmt: skip
ENVOY = {
    "round_robin": "ROUND_ROBIN", "weighted": "ROUND_ROBIN", "power_of_two": "LEAST_REQUEST",
    "consistent_hash": "RING_HASH",
}  # fmt: skip


def haproxy(place: Place) -> list[Command]:
    """HAProxy logs to its standard output, one write a line: no syslog daemon shares the work."""
    balance = HAPROXY[place.setup.algorithm]
    tls = f" ssl crt {place.both}" if place.setup.tls else ""
    servers = "\n".join(f"    server l{i} 127.0.0.1:{port}" for i, port in enumerate(place.nodes, 1))
    (place.folder / "haproxy.cfg").write_text(f"""\
global
    nbthread {place.setup.workers}
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    option forwardfor
    option redispatch
    timeout connect 1s
    timeout client 65s
    timeout server 30s
frontend traffic
    bind 127.0.0.1:{place.port}{tls}
    unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Proto {place.setup.scheme}
    http-response set-header X-Request-Id %[unique-id]
    http-response set-header X-Node %s
    default_backend nodes
backend nodes
    balance {balance}
    http-reuse always
    option httpchk GET {HEALTH}
    default-server check inter 1s rise 2 fall 3
{servers}
""")
    argv = [find("haproxy") or "haproxy", "-db", "-f", str(place.folder / "haproxy.cfg")]
    return [Command(argv, place.folder / "access.log")]


def nginx(place: Place) -> list[Command]:
    """nginx buffers its access log, as ours does; it has no active probes in the free edition."""
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.nodes)
    method, tls = NGINX[place.setup.algorithm], ""
    if place.setup.tls:
        tls = f"ssl_certificate {place.certificate}; ssl_certificate_key {place.key};"
    return [
        nginx_command(
            place.folder,
            place.setup.workers,
            f"""\
    access_log {place.folder}/access.log combined buffer=64k flush=1s;
    upstream nodes {{
        {method}
{servers}
        keepalive 256;
        keepalive_requests {MANY};
    }}
    server {{
        listen 127.0.0.1:{place.port} backlog=2048{" ssl" if tls else ""};
        {tls}
        keepalive_requests {MANY};
        client_max_body_size 0;
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
            add_header X-Request-Id $request_id;
            add_header X-Node $upstream_addr;
        }}
    }}
""",
        )
    ]


def nginx_command(folder: Path, workers: int, http: str) -> Command:
    """nginx in the foreground, with everything that it writes under `folder`."""
    user = "user root;" if os.geteuid() == 0 else ""  # else its workers may not read the folder
    paths = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(f"""\
{user}
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
events {{ worker_connections 20000; }}
http {{
{paths}
    keepalive_timeout 65s;
{http}}}
""")
    argv = [find("nginx") or "nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return Command(argv, folder / "nginx.log")


def caddy(place: Place) -> list[Command]:
    """Caddy, with as many processors as the others have workers."""
    nodes = " ".join(f"127.0.0.1:{port}" for port in place.nodes)
    tls = f"tls {place.certificate} {place.key}" if place.setup.tls else ""
    (place.folder / "Caddyfile").write_text(f"""\
{{
    admin off
    auto_https disable_redirects
    servers {{
        protocols h1
    }}
}}
{place.setup.scheme}://127.0.0.1:{place.port} {{
    {tls}
    log {{
        output file {place.folder}/access.log {{
            roll_disabled
        }}
        format json
    }}
    request_header X-Request-Id {{http.request.uuid}}
    header X-Request-Id {{http.request.uuid}}
    reverse_proxy {nodes} {{
        lb_policy {CADDY[place.setup.algorithm]}
        health_uri {HEALTH}
        health_interval 1s
        header_down X-Node {{http.reverse_proxy.upstream.hostport}}
        transport http {{
            compression off
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
""")
    argv = [find("caddy") or "caddy", "run", "--adapter", "caddyfile", "--config", str(place.folder / "Caddyfile")]
    own = str(place.folder / "own")
    environment = {
        "GOMAXPROCS": str(place.setup.workers), "HOME": own, "XDG_DATA_HOME": own, "XDG_CONFIG_HOME": own,
    }  # fmt: skip
    return [Command(argv, place.folder / "caddy.log", environment)]


def envoy(place: Place) -> list[Command]:
    """Envoy, with static resources, all of whose circuit breakers are out of the way."""
    hcm = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    log = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    route: dict[str, Any] = {"cluster": "nodes", "timeout": "0s"}
    if place.setup.algorithm == "consistent_hash":
        route["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
    connections = {
        "@type": _TYPE + hcm,
        "stat_prefix": "traffic",
        "use_remote_address": True,
        "always_set_request_id_in_response": True,
        "access_log": [{"name": "file", "typed_config": {"@type": _TYPE + log, "path": f"{place.folder}/access.log"}}],
        "http_filters": [
            {"name": "router", "typed_config": {"@type": _TYPE + "envoy.extensions.filters.http.router.v3.Router"}}
        ],
        "route_config": {
            "virtual_hosts": [{
                "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": route}],
                "request_headers_to_add": [_field("X-Forwarded-Host", "%REQ(:AUTHORITY)%")],
                "response_headers_to_add": [_field("X-Node", "%UPSTREAM_HOST%")],
            }]
        },
    }  # fmt: skip
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": connections}]}
    if place.setup.tls:
        files = {"certificate_chain": _file(place.certificate), "private_key": _file(place.key)}
        kind = _TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
        context = {"@type": kind, "common_tls_context": {"tls_certificates": [files]}}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}
    many = {"max_connections": MANY, "max_pending_requests": MANY, "max_requests": MANY, "max_retries": MANY}
    endpoints = [{"endpoint": {"address": _address(port)}} for port in place.nodes]
    config = {
        "admin": {"address": _address(place.control_port)},
        "static_resources": {
            "listeners": [{"name": "traffic", "address": _address(place.port), "filter_chains": [chain]}],
            "clusters": [{
                "name": "nodes", "type": "STATIC", "connect_timeout": "1s", "lb_policy": ENVOY[place.setup.algorithm],
                "circuit_breakers": {"thresholds": [many]},
                "health_checks": [{
                    "timeout": "1s", "interval": "1s", "unhealthy_threshold": 3, "healthy_threshold": 2,
                    "http_health_check": {"path": HEALTH},
                }],
                "load_assignment": {"cluster_name": "nodes", "endpoints": [{"lb_endpoints": endpoints}]},
            }],
        },
    }  # fmt: skip
    (place.folder / "envoy.json").write_text(json.dumps(config, indent=1))
    argv = [find("envoy") or "envoy", "-c", str(place.folder / "envoy.json"), "-l", "warning",
            "--concurrency", str(place.setup.workers), "--disable-hot-restart"]  # fmt: skip
    return [Command(argv, place.folder / "envoy.log")]


_TYPE = "type.googleapis.com/"


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _field(key: str, value: str) -> dict[str, Any]:
    return {"header": {"key": key, "value": value}}


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path)}
