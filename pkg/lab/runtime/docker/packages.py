# The lab's package cache: a web server that answers for Debian mirrors and keeps
# what it fetched. Machines find it under the mirrors' own names, so nothing of it
# is in their images. What has its digest or version in its name never changes;
# the rest is asked for each time, and kept as long as the mirror says so.
import hashlib
import http.client
import json
import os
import re
import shutil
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

directory, mirrors = sys.argv[1], set(sys.argv[2:])
lasting = re.compile(r"/by-hash/|\.u?deb$|\.dsc$|\.orig\.tar\.|\.debian\.tar\.")
days = 30
locks = {}
guard = threading.Lock()


def lock_of(name):
    with guard:
        return locks.setdefault(name, threading.Lock())


class Cache(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    location = None

    def do_GET(self):
        self.location = None
        host = (self.headers.get("Host") or "").split(":")[0]
        if host not in mirrors:
            self.answer(403 if host else 400)
            return
        name = hashlib.sha256((host + self.path).encode()).hexdigest()
        file = os.path.join(directory, name)
        try:
            with lock_of(name):  # one fetch, whoever asks meanwhile
                status, headers = self.have(host, file)
        except (OSError, http.client.HTTPException) as e:
            self.answer(502, str(e).encode())
            return
        if status != 200:
            self.answer(status)
            return
        since = self.headers.get("If-Modified-Since")
        if since and since == headers.get("Last-Modified"):
            self.answer(304)
            return
        with open(file, "rb") as f:
            self.send_response(200)
            for k, v in headers.items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(os.fstat(f.fileno()).st_size))
            self.end_headers()
            shutil.copyfileobj(f, self.wfile, 1 << 20)

    def have(self, host, file):
        headers = {}
        if os.path.exists(file) and os.path.exists(file + ".json"):
            with open(file + ".json") as f:
                headers = json.load(f)
            if lasting.search(self.path):
                os.utime(file)
                return 200, headers
        ask = {"User-Agent": self.headers.get("User-Agent", "chain-lab")}
        if "ETag" in headers:
            ask["If-None-Match"] = headers["ETag"]
        if "Last-Modified" in headers:
            ask["If-Modified-Since"] = headers["Last-Modified"]
        c = http.client.HTTPConnection(host, timeout=60)
        try:
            c.request("GET", self.path, headers=ask)
            r = c.getresponse()
            if r.status == 304 and headers:
                os.utime(file)
                return 200, headers
            if r.status != 200:
                # A redirect is followed by apt itself, to another name.
                self.location = r.getheader("Location")
                return r.status, {}
            length = r.getheader("Content-Length")
            part = f"{file}.part{threading.get_ident()}"
            with open(part, "wb") as f:
                shutil.copyfileobj(r, f, 1 << 20)
                size = f.tell()
            if length is not None and int(length) != size:
                os.remove(part)
                raise OSError(f"{host} sent {size} of {length} bytes")
            kept = {k: r.getheader(k) for k in ("ETag", "Last-Modified", "Content-Type") if r.getheader(k)}
            with open(part + ".json", "w") as f:
                json.dump(kept, f)
            os.replace(part + ".json", file + ".json")
            os.replace(part, file)
            return 200, kept
        finally:
            c.close()

    def answer(self, status, body=b""):
        self.send_response(status)
        if self.location and 300 <= status < 400:
            self.send_header("Location", self.location)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def forget():
    for entry in os.scandir(directory):
        if entry.stat().st_mtime < time.time() - days * 86400 or ".part" in entry.name:
            os.remove(entry.path)


forget()
ThreadingHTTPServer(("0.0.0.0", 80), Cache).serve_forever()
