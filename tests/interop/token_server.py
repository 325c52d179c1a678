#!/usr/bin/env python3
"""A token server as docker-registry's token authentication wants one (https://distribution.github.io/distribution/spec/auth/token).

    token_server.py KEY CERTIFICATE ADDRESS-FILE LOG USER:PASSWORD

Signs RS256 with KEY (PEM) by way of openssl, and sends CERTIFICATE along. Whoever logs in may do what he asks for;
everybody else may pull from repositories below public/. LOG gets a line per token.
"""

import base64
import http.server
import json
import secrets
import subprocess
import sys
import time
import urllib.parse

key, certificate, address_file, log, login = sys.argv[1:]


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(service, access):
    der = subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER"], check=True, capture_output=True).stdout
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
    claims = {"iss": "tests", "sub": "", "aud": service, "iat": now, "nbf": now - 10, "exp": now + 60,
              "jti": secrets.token_hex(8), "access": access}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), check=True, capture_output=True)
    return text + "." + encoded(signed.stdout)


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        known = False
        if authorization := self.headers.get("Authorization"):
            if authorization != "Basic " + base64.b64encode(login.encode()).decode():
                return self.answer(401, {"details": "incorrect username or password"})
            known = True
        access = []
        for scope in query.get("scope", []):
            kind, name, actions = scope.rsplit(":", 2)
            allowed = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
            access.append({"type": kind, "name": name, "actions": allowed})
        with open(log, "a") as file:
            print("known" if known else "anonymous", *query.get("scope", []), file=file)
        self.answer(200, {"token": token(query["service"][0], access), "expires_in": 60})

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
with open(address_file, "w") as file:
    file.write("%s:%d" % server.server_address[:2])
server.serve_forever()
