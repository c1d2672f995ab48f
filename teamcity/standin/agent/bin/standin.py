"""An agent that registers by its name and keeps its token in its properties."""
import glob
import os
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROPERTIES = os.path.join(HOME, "conf", "buildAgent.properties")

with open(os.path.join(HOME, "logs", "buildAgent.pid"), "w") as f:
    f.write(str(os.getpid()))
while True:
    with open(PROPERTIES) as f:
        lines = f.read().splitlines()
    own = dict(line.split("=", 1) for line in lines if "=" in line)
    if own["authorizationToken"]:
        time.sleep(1)
        continue
    try:
        trust = ssl.create_default_context()
        for certificate in glob.glob(os.path.join(HOME, "conf", "trustedCertificates", "*")):
            trust.load_verify_locations(certificate)
        form = urllib.parse.urlencode({"name": own["name"] or socket.gethostname()}).encode()
        with urllib.request.urlopen(own["serverUrl"].rstrip("/") + "/standin/register", form, 10, context=trust) as answer:
            token = answer.read().decode().strip()
        with open(PROPERTIES, "w") as f:
            f.write("".join(f"authorizationToken={token}\n" if line.startswith("authorizationToken=") else line + "\n" for line in lines))
    except (OSError, urllib.error.URLError) as e:
        print(e, file=sys.stderr, flush=True)
        time.sleep(1)
