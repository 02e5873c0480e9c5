"""TLS as a user of the package meets it. What each failure says is tested with the C++ client (tests/integration)."""

import pathlib
import socket
import ssl
import subprocess

import pytest

import cairn
import cairn.testing


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate for localhost that is its own authority, and the same for a client."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("localhost", "client"):
        openssl(
            folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def tls_server(files):
    with cairn.testing.server(port=0, tls_cert=files / "localhost.pem", tls_key=files / "localhost.key") as server:
        yield server


def test_a_save_and_a_load_over_tls(tls_server, files):
    with tls_server.client(tls=cairn.Tls(ca=files / "localhost.pem")) as client:
        client.save("tls/run@1", {"x": 1})
        assert client.load("tls/run") == {"x": 1}


def test_tls_begins_at_1_2(tls_server):
    host, port = tls_server.target.split(":")
    for version, taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")  # So that it is not this side that refuses.
        context.set_alpn_protocols(["h2"])
        context.minimum_version = context.maximum_version = version
        with socket.create_connection((host, int(port)), timeout=10) as raw:
            try:
                context.wrap_socket(raw).close()
            except OSError:
                assert not taken, version
            else:
                assert taken, version


def test_certificates_may_be_given_as_bytes(tls_server, files):
    content = (files / "localhost.pem").read_bytes()
    with tls_server.client(tls=cairn.Tls(ca=content)) as client:
        assert client.info().version


def test_mutual_tls(files):
    options = {"tls_cert": files / "localhost.pem", "tls_key": files / "localhost.key", "tls_client_ca": files / "client.pem"}
    ca = files / "localhost.pem"
    with cairn.testing.server(port=0, **options) as server:
        with server.client(tls=cairn.Tls(ca=ca, cert=files / "client.pem", key=files / "client.key")) as client:
            assert client.info().version
        with server.client(tls=cairn.Tls(ca=ca)) as client, pytest.raises(cairn.UnauthenticatedError) as caught:
            client.info()
        assert caught.value.reason == "TLS_CLIENT_CERTIFICATE"


def test_the_environment_says_it_and_an_argument_overrides_it(tls_server, files, monkeypatch):
    monkeypatch.setenv("CAIRN_TLS_CA", str(files / "localhost.pem"))
    with tls_server.client() as client:
        assert client.info().version
    with tls_server.client(tls=False) as client, pytest.raises(cairn.FailedPreconditionError, match="speaks TLS") as caught:
        client.info()
    assert caught.value.reason == "TLS_REQUIRED"
    monkeypatch.setenv("CAIRN_TLS", "0")
    with tls_server.client() as client, pytest.raises(cairn.FailedPreconditionError):
        client.info()


def test_the_environment_does_not_concern_a_unix_socket(client, server, monkeypatch):
    monkeypatch.setenv("CAIRN_TLS", "1")
    with server.client() as other:
        assert other.info().version
    with pytest.raises(cairn.InvalidArgumentError, match="always plain"):
        server.client(tls=True)


def test_an_unknown_authority_is_an_error_at_once_and_not_a_wait(tls_server):
    with tls_server.client(tls=True, retry_for=600) as client, pytest.raises(cairn.FailedPreconditionError) as caught:
        client.info()
    assert caught.value.reason == "TLS_UNKNOWN_AUTHORITY" and "cairn.Tls(ca=" in str(caught.value)


def test_files_that_cannot_be_used_are_named(files):
    with pytest.raises(FileNotFoundError, match="nowhere.pem"):
        cairn.Client("localhost:1", tls=cairn.Tls(ca="nowhere.pem"))
    with pytest.raises(cairn.InvalidArgumentError, match="conftest.py"):
        cairn.Client("localhost:1", tls=cairn.Tls(cert=pathlib.Path(__file__).with_name("conftest.py")))
    with pytest.raises(cairn.InvalidArgumentError, match="tls-cert and tls-key"):
        cairn.Client("localhost:1", tls=cairn.Tls(cert=files / "client.pem"))
    with pytest.raises(cairn.InvalidArgumentError, match="does not belong"):
        cairn.Client("localhost:1", tls=cairn.Tls(cert=files / "client.pem", key=files / "localhost.key"))


def test_a_key_is_not_shown():
    assert "secret" not in repr(cairn.Tls(key=b"secret"))
