#!/usr/bin/env python3
"""A small MI server: one program, one user (WIRE, password secret-7), three customers, all written out below.

  mi_server.py [reroute|ngconok|ucs2|win|plain]     prints {"port": N} when it listens; ends when its input does

Shares no line with the gateway or with mi_client.py: all three were written from the protocol, apart.
"""
import json
import socketserver
import sys
import threading

MODE = sys.argv[1] if len(sys.argv) > 1 else "reroute"
WIDE = MODE in ("reroute", "ngconok", "ucs2")
GREETING = {"ngconok": "NGCONOK", "ucs2": "UCS2 ", "win": "WIN", "plain": "Connection accepted"}
PORT_ID = 4711
IN = {
    "GetBasicData": "CONO,16,3;CUNO,19,10",
    "LstByNumber": "CONO,16,3;CUNO,19,10;LMTS,29,18",
    "ChgBasicData": "CONO,16,3;CUNO,19,10;CUNM,29,36",
}
OUT = {
    "GetBasicData": "CONO,16,3;CUNO,19,10;CUNM,29,36;LMDT,65,10",
    "LstByNumber": "CONO,16,3;CUNO,19,10;CUNM,29,36;LMDT,65,10",
    "GetUserInfo": "ZZUSID,16,10;ZDCONO,26,3;ZDDIVI,29,3;ZDFACI,32,3;ZZWHLO,35,3;ZDAUPF,38,10;ZDREPF,48,1;"
    "ZDLANC,49,2;ZDDTFM,51,3;DSEP,54,1;TSEP,55,1;TIZO,56,5;USFN,61,40",
}
NAMES = {"C0001": "Åkerström & Söner", "C0002": "Müller GmbH", "C0003": "Smith; Sons, Ltd"}


def customer(number):
    return f"{'100':>3}{number:<10}{NAMES[number]:<36}{'20260105':<10}"


def nok(text, ident, field):
    return [f"{'NOK':<15}{text:<241.241}{ident:<7} {field}"]


def answers(text, state):
    """The replies to one request, in order."""
    name, data = text[:15].strip(), text[15:]
    number = data[3:13].strip()
    if name == "SetLstMaxRec":
        state["most"] = int(data[:11].strip() or 0)
        return [f"{'OK':<15}"]
    if name in ("GetInLayout", "GetOutLayout"):
        layout = (IN if name == "GetInLayout" else OUT).get(data.strip())
        return [f"{'OK':<15};{layout}"] if layout else nok(f"No fields for {data.strip()}", "XMI0001", "")
    if name == "GetUserInfo":
        return [f"{'OK':<15}{'WIRE':<10}100AAAA01001{'':<11}GBYMD.,{'CET':<5}{'Wire Test':<40}"]
    if name in ("GetMIBuild", "GetServerTime", "FpwVersion"):
        return [f"{'OK':<15}20260105120000"]
    if name == "LstByNumber":
        found = [f"{'REP':<15}{customer(n)}".rstrip() for n in sorted(NAMES) if n >= number]
        return found[: state["most"] or None] + [f"{'OK':<15}"]
    if name == "ChgBasicData" and number in NAMES:
        NAMES[number] = data[13:49].strip() or NAMES[number]
        return [f"{'OK':<15}"]
    if name in IN:
        found = number in NAMES
        return [f"{'OK':<15}{customer(number)}"] if found else nok(f"Customer number {number} does not exist", "WCU0203", "CUNO")
    return nok(f"Transaction {name} does not exist", "XMI0002", "")


class Session(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def frame(self):
        head = self.rfile.read(4)
        return self.rfile.read(int.from_bytes(head, "big")) if len(head) == 4 else None

    def reply(self, payload):
        self.wfile.write(len(payload).to_bytes(4, "big") + payload)

    def handle(self):
        if self.server.dispatcher:
            logon = self.frame() or b""
            # The mask undone. The last sign of this password is the digit of its place, which the mask leaves alone.
            given = bytes(b if i >= 10 or b == 48 + i else b ^ (48 + i) for i, b in enumerate(logon[53:69])).rstrip()
            if (len(logon), logon[:5], logon[37:53].rstrip(), given) != (149, b"PWLOG", b"WIRE", b"secret-7"):
                return self.reply(b"NOK            Wrong user or password")
            if MODE == "reroute":
                return self.reply(b"CHG 127.0.0.1,%d,%d" % (self.server.inner.server_address[1], PORT_ID))
            self.reply(GREETING[MODE].encode())
        else:
            right = int.from_bytes(self.rfile.read(4), "big") == PORT_ID
            self.wfile.write(bytes(4) if right else b"\0\0\0\1")
            if not right:
                return None
        charset, state = "utf-16-be" if WIDE else "latin-1", {"most": 100}
        while (request := self.frame()) is not None and not (text := request.decode(charset)).startswith("CLOSE"):
            for answer in answers(text, state) if not text.startswith("Snd") else []:
                self.reply(answer.encode(charset, "replace"))
        return None


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


inner, outer = Server(("127.0.0.1", 0), Session), Server(("127.0.0.1", 0), Session)
inner.dispatcher, outer.dispatcher, outer.inner = False, True, inner
for server in (inner, outer):
    threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"port": outer.server_address[1]}), flush=True)
sys.stdin.read()
