"""A server at the port of conf/server.xml that keeps its agents in the database."""
import http.server
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import zipfile
from urllib.parse import parse_qs

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.environ["TEAMCITY_DATA_PATH"]
AGENT = re.compile(r"[A-Za-z0-9._-]{1,80}")


def properties(path):
    with open(path) as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f if "=" in line)


def database():
    p = properties(os.path.join(DATA, "config", "database.properties"))
    url = re.fullmatch(r"jdbc:(postgresql://[^/]+/\w+)", p["connectionUrl"])
    return url.group(1), {**os.environ, "PGUSER": p["connectionProperties.user"], "PGPASSWORD": p["connectionProperties.password"]}


def sql(text):
    url, env = database()
    done = subprocess.run(["psql", "-XqAtv", "ON_ERROR_STOP=1", url, "-c", text], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body="", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def secure(self):
        # Nobody comes here but by nginx, and to nginx by TLS.
        return self.headers.get("X-Forwarded-Proto") == "https" and self.headers.get("X-Forwarded-For")

    def do_GET(self):
        if self.path == "/login.html":
            self.answer(200, "<title>Log in to TeamCity</title>\n", "text/html")
        elif self.path == "/app/rest/server/version":
            self.answer(401)
        elif self.path == "/app/rest/agents" and self.secure():
            names = sql("SELECT name FROM agents ORDER BY name")
            self.answer(200, json.dumps({"count": len(names), "agent": [{"name": n} for n in names]}), "application/json")
        else:
            self.answer(404)

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        name = form.get("name", [""])[0]
        if self.path != "/standin/register" or not self.secure() or not AGENT.fullmatch(name):
            self.answer(404)
            return
        token = secrets.token_hex(16)
        sql(f"INSERT INTO agents VALUES ('{name}', '{token}') ON CONFLICT (name) DO UPDATE SET token = excluded.token")
        self.answer(200, token + "\n")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with open(os.path.join(HOME, "conf", "server.xml")) as f:
        connector = re.search(r'<Connector ([^>]*port="8111"[^>]*)>', f.read()).group(1)
    at = re.search(r'address="([^"]*)"', connector)
    subprocess.run(["java", "-version"], capture_output=True, check=True)
    with zipfile.ZipFile(os.path.join(DATA, "lib", "jdbc", "postgresql.jar")) as driver:
        driver.getinfo("org/postgresql/Driver.class")
    sql("CREATE TABLE IF NOT EXISTS agents (name text PRIMARY KEY, token text NOT NULL)")
    with open(os.path.join(HOME, "logs", "teamcity-server.log"), "a") as log:
        log.write(f"Super user authentication token: {secrets.randbits(63)}\n")
    http.server.ThreadingHTTPServer((at.group(1) if at else "", 8111), Handler).serve_forever()


main()
