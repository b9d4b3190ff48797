"""One hop of a chain: answers `/NAME/ID` with ID, a few milliseconds after it was asked.

Arguments: address, port. A hop in front of another is given two more: the next one's port, and `new` (a connection for
each call) or `kept` (a connection for each thread). It asks the next hop for `/back/ID` before it answers; `handed` lets a
thread of a pool do so, and `late` asks only when it has answered.
"""

import concurrent.futures
import http.client
import http.server
import sys
import threading
import time

next_port, manner = (int(sys.argv[3]), sys.argv[4]) if len(sys.argv) > 3 else (None, None)
kept = threading.local()
pool = concurrent.futures.ThreadPoolExecutor(4)


def connection():
    if manner != "kept":
        return http.client.HTTPConnection("127.0.0.1", next_port)
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection("127.0.0.1", next_port)
    return kept.connection


def ask(number):
    asked = connection()
    asked.request("GET", f"/back/{number}")
    answer = asked.getresponse().read()
    if manner != "kept":
        asked.close()
    return answer


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece.
    wbufsize = -1

    def do_GET(self):
        number = self.path.rpartition("/")[2]
        # Answers come in another order than requests.
        time.sleep(int(number) * 7 % 5 / 1000)
        if manner == "handed":
            body = pool.submit(ask, number).result()
        elif manner in ("new", "kept"):
            body = ask(number)
        else:
            body = number.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if manner == "late":
            self.wfile.flush()
            ask(number)

    def log_message(self, format, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
