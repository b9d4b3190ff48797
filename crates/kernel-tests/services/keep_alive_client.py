"""Fetches over one kept-alive connection with http.client. Arguments: port, and an address that is not loopback.

Each line on stdin is a method and a path; answers each with the status and the length of the body.
"""

import http.client
import sys

address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
connection = http.client.HTTPConnection(address, int(sys.argv[1]))
for line in sys.stdin:
    method, path = line.split()
    connection.request(method, path)
    response = connection.getresponse()
    print(response.status, len(response.read()), flush=True)
