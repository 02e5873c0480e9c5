"""Servers for tests of URLs: files over http with faults on demand, S3 (moto) that checks signatures, and a gate that stops
a client in the middle of what it sends."""

import collections
import hashlib
import http.server
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse

import boto3
import botocore.exceptions


class FileServer(http.server.ThreadingHTTPServer):
    """Files from memory, by ranges. `faults[path]` is a queue of functions (handler, body) -> handled or not, one for each
    request; `log` has (path, Range or None, headers) of each."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, files=None, certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            # The handshake belongs into the thread of its connection.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.files = dict(files or {})
        self.redirects = {}
        self.faults = collections.defaultdict(collections.deque)
        self.log = []
        self.sent = 0
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def base(self):
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def url(self, path):
        return self.base + urllib.parse.quote(path)

    def handle_error(self, request, client_address):
        pass  # Clients that leave are part of the tests.

    def close(self):
        self.released.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_PUT(self):
        self.send_error(405)

    def do_GET(self):
        server = self.server
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        server.log.append((path, self.headers.get("Range"), dict(self.headers)))
        if path in server.redirects:
            return self.redirect(server.redirects[path])
        body = server.files.get(path)
        if server.faults[path]:
            fault = server.faults[path].popleft()
            if fault is not None and fault(self, body):
                return
        if body is None:
            return self.answer(404, b"not here")
        self.serve(body)

    def redirect(self, where):
        self.send_response(302)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def requested(self, body):
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        return (int(match[1]), min(int(match[2]) + 1, len(body))) if match else None

    def serve(self, body, etag=None, length=None, content_range=None, cut=None, extra=b"", headers=()):
        etag = etag or '"' + hashlib.md5(body).hexdigest() + '"'
        wanted = self.headers.get("If-Match")
        if wanted is not None and wanted != etag:
            return self.answer(412, b"")
        span = self.requested(body)
        if span is None:
            return self.answer(200, body, [("ETag", etag)])
        if span[0] >= len(body):
            return self.answer(416, b"", [("Content-Range", f"bytes */{len(body)}")])
        part = body[span[0] : span[1]] + extra
        self.send_response(206)
        self.send_header("ETag", etag)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Range", content_range or f"bytes {span[0]}-{span[1] - 1}/{len(body)}")
        self.send_header("Content-Length", str(length or len(part)))
        self.end_headers()
        part = part if cut is None else part[:cut]
        self.server.sent += len(part)
        self.wfile.write(part)
        if cut is not None or length:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


# Faults.
def unavailable(handler, body):
    handler.answer(503, b"busy")
    return True


def drop_in_the_middle(handler, body):
    span = handler.requested(body)
    handler.serve(body, cut=(span[1] - span[0]) // 2)
    return True


def reset(handler, body):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def ignore_range(handler, body):
    handler.answer(200, body)
    return True


def another_range(handler, body):
    handler.serve(body, content_range=f"bytes 5-9/{len(body)}")
    return True


def stall(handler, body):
    handler.server.released.wait(timeout=60)
    handler.close_connection = True
    return True


def until_the_client_leaves(reached, left):
    """Says nothing; sets `reached` when asked, and `left` when the client hangs up."""

    def fault(handler, body):
        reached.set()
        handler.connection.settimeout(60)
        try:
            while handler.connection.recv(65536):
                pass
            left.set()
        except OSError:
            pass
        handler.close_connection = True
        return True

    return fault


def replaced_by(other):
    def fault(handler, body):
        handler.server.files[urllib.parse.unquote(handler.path)] = other
        handler.serve(other)
        return True

    return fault


def with_answer(**changes):
    def fault(handler, body):
        handler.serve(body, **changes)
        return True

    return fault


class S3Server:
    """moto's S3. Signatures are checked (by botocore's code); what is not checked: that the body has the SHA-256 that was
    signed, the age of a request, and payloads in chunks."""

    def __init__(self, folder):
        self.output = folder / "moto.log"
        environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3", "MOTO_S3_DEFAULT_MAX_KEYS": "3", "PYTHONUNBUFFERED": "1"}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            environment.pop(name, None)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        with open(self.output, "w") as output:
            self.process = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], stdout=output, stderr=output, env=environment)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert self.process.poll() is None, self.output.read_text()
                time.sleep(0.05)
        # The first three calls are nobody's: they make somebody.
        iam = boto3.client("iam", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any")
        iam.create_user(UserName="tester")
        key = iam.create_access_key(UserName="tester")["AccessKey"]
        policy = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
        iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=policy)
        self.key, self.secret = key["AccessKeyId"], key["SecretAccessKey"]
        self.client = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=self.key, aws_secret_access_key=self.secret)
        self.client.create_bucket(Bucket="models")

    def environment(self, endpoint=None):
        return {"AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint or self.endpoint}

    def put(self, key, body):
        self.client.put_object(Bucket="models", Key=key, Body=body)

    def get(self, key):
        try:
            return self.client.get_object(Bucket="models", Key=key)["Body"].read()
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "NoSuchKey"
            return None

    def keys(self, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="models", Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def uploads(self):
        return [one["Key"] for one in self.client.list_multipart_uploads(Bucket="models").get("Uploads", [])]

    def requests(self):
        """(method, path) of what was answered, in order."""
        return re.findall(r'"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP', self.output.read_text())

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)


class Gate:
    """Passes bytes on to a server, until a client has sent `after` of them: then that connection stands still. Connections
    that are made later pass."""

    def __init__(self, port, after):
        self.target, self.after, self.seen = port, after, 0
        self.reached, self.opened = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.forward, args=(client, server, not self.reached.is_set()), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, False), daemon=True).start()

    def forward(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                self.seen += len(data) if counts else 0
                if counts and self.seen > self.after:
                    self.reached.set()
                    self.opened.wait(timeout=60)
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.opened.set()
        self.listener.close()
