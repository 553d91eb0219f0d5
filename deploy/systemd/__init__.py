"""systemd's units for a host: `fairlead.service` keeps supervisord alive, the other loads the firewall's rules."""

from pathlib import Path

import jinja2

FOLDER = Path(__file__).parent
UNIT, FIREWALL_UNIT = "fairlead.service", "fairlead-firewall.service"


def unit(name: str, root: str, account: str, stop_s: int) -> str:
    """A unit's text. `stop_s`: how long the slowest program may take to end, in seconds."""
    engine = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return engine.get_template(f"{name}.j2").render(root=root, account=account, stop_s=stop_s)
