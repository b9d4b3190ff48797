"""A hop in front of another: answers `/NAME/ID` with what the next hop says to `/back/ID`, and `/status/NNN` with that
status. It serves by `http.server` with a thread for each connection and asks by `urllib`, with a connection for each call.

Arguments: port, port of the next hop.
"""

import http.server
import sys
import urllib.request

NEXT = f"http://127.0.0.1:{sys.argv[2]}"
# Whatever proxies the environment names are not for loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name, _, last = self.path[1:].partition("/")
        if name == "status":
            status, body = int(last), last.encode()
        else:
            with OPENER.open(f"{NEXT}/back/{last}") as answer:
                status, body = 200, answer.read()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
