"""With this folder in ``PYTHONPATH``, what any Python process asks of another machine is a line of ``$OUTSIDE``."""

import os
import socket
import sys

OWN = {None, "", "localhost", "0.0.0.0", "::1", "::", socket.gethostname()}


def watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:2]
    else:
        return
    if not isinstance(address, tuple):  # a path: it stays on this machine
        return
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host not in OWN and not host.startswith("127."):
        with open(os.environ["OUTSIDE"], "a") as file:
            file.write(f"{event} {address} {' '.join(sys.orig_argv)}\n")


if "OUTSIDE" in os.environ:
    sys.addaudithook(watch)
