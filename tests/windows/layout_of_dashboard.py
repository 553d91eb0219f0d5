"""Prints the layout that a dashboard sends to its page: `python layout_of_dashboard.py ADDRESS TOKEN_FILE`."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

ADDRESS, TOKEN = sys.argv[1], Path(sys.argv[2]).read_text().strip()


class Stay(urllib.request.HTTPRedirectHandler):
    """Signing in answers with a redirect that carries the cookie."""

    def redirect_request(self, *args: Any) -> None:
        return None


try:
    urllib.request.build_opener(Stay).open(f"http://{ADDRESS}:8090/?token={TOKEN}", timeout=10)
    sys.exit("signing in did not redirect")
except urllib.error.HTTPError as redirect:
    cookie = str(redirect.headers["Set-Cookie"]).split(";")[0]
headers = {"Cookie": cookie, "Origin": f"http://{ADDRESS}:8090"}
url = f"ws://{ADDRESS}:8090/socket.io/?EIO=4&transport=websocket"
with connect(url, additional_headers=headers, max_size=None) as socket:
    socket.recv(10)
    socket.send("40")
    socket.recv(10)
    socket.send('42["watch"]')
    while not (packet := str(socket.recv(20))).startswith('42["hello"'):
        pass
print(json.dumps(json.loads(packet[2:])[1]["layout"]))
