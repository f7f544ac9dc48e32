#!/usr/bin/env python3
"""A small MI client: it logs on, sends ready-made request texts and prints every reply as a line of JSON.

  mi_client.py HOST:PORT USER PASSWORD PROGRAM REQUEST...      REQUEST: 'GetBasicData   100CUST01', columns and all

Knows the logon (PWLOG and its mask), the dispatcher's reroute, UCS-2 and single bytes, and nothing of layouts.
Shares no line with the gateway or with mi_server.py: all three were written from the protocol, apart.
Exit code: 0 all OK, 1 a NOK among the replies, 2 refused or broken off.
"""
import json
import socket
import struct
import sys


def read(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("the server closed the connection")
        data += part
    return data


def receive(sock):
    return read(sock, struct.unpack(">I", read(sock, 4))[0])


def send(sock, payload):
    sock.sendall(struct.pack(">I", len(payload)) + payload)


def connect(host, port):
    sock = socket.create_connection((host, port), timeout=20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def logon(host, port, user, password, program):
    """A socket that is logged on, and the encoding that both sides speak from now on."""
    clear = password.ljust(16).encode("latin-1")
    masked = bytes(c ^ 0x30 + i if i < 10 and c != 0x30 + i else c for i, c in enumerate(clear))
    texts = [("PWLOG", 5), ("LOCALA", 32), (user, 16), None, (program, 32), ("wire-test", 32), ("127.0.0.1", 16)]
    sock = connect(host, port)
    send(sock, b"".join(masked if text is None else text[0].ljust(text[1]).encode("latin-1") for text in texts))
    reply = receive(sock).decode("latin-1")
    print(json.dumps({"logon": reply.rstrip()}))
    if reply.startswith("NOK"):
        raise PermissionError(reply)
    if reply.startswith("CHG "):
        sock.close()
        host, port, ident = reply[4:].replace(",", " ").split()[:3]
        sock = connect(host, int(port))
        sock.sendall(struct.pack(">i", int(ident)))
        answer = struct.unpack(">i", read(sock, 4))[0]
        if answer != 0:
            raise PermissionError(f"the program's own port answered {answer}")
        return sock, "utf-16-be"
    return sock, "utf-16-be" if reply.startswith(("NGCONOK", "UCS2 ")) else "latin-1"


def main(address, user, password, program, *requests):
    host, port = address.rsplit(":", 1)
    sock, charset = logon(host, int(port), user, password, program)
    worst = 0
    for request in requests:
        send(sock, request.encode(charset))
        while True:
            text = receive(sock).decode(charset)
            status = text[:15].strip()
            line = {"request": request[:15].strip(), "status": status, "text": text[15:].rstrip()}
            if status == "NOK":
                worst, line["text"] = 1, text[15:256].rstrip()
                line |= {"id": text[256:263].strip(), "field": text[264:].strip()} if len(text) > 256 else {}
            print(json.dumps(line, ensure_ascii=False), flush=True)
            if status != "REP":
                break
    send(sock, "CLOSE".ljust(16).encode(charset))
    return worst


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    try:
        sys.exit(main(*sys.argv[1:]))
    except (OSError, ValueError) as fault:
        print(json.dumps({"fault": str(fault).rstrip()}))
        sys.exit(2)
