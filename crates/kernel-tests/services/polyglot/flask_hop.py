"""A hop in front of another: answers `/NAME/ID` with what the next hop says to `/back/ID`, and `/status/NNN` with that
status. It serves by Flask's own server with a thread for each connection and asks by `urllib`.

Arguments: port, port of the next hop.
"""

import sys
import urllib.request

import flask

NEXT = f"http://127.0.0.1:{sys.argv[2]}"
# Whatever proxies the environment names are not for loopback.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

app = flask.Flask(__name__)


@app.get("/status/<int:status>")
def answer_with(status):
    return str(status), status


@app.get("/<name>/<last>")
def pass_on(name, last):
    with OPENER.open(f"{NEXT}/back/{last}") as answer:
        return answer.read()


app.run("127.0.0.1", int(sys.argv[1]), threaded=True)
