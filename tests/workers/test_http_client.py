"""The HTTP client against real servers: checked connections, redirects, rebinding, keys that stay at home."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ports import closed_port
from workers.errors import AddressRefused
from workers.network import NetworkPolicy, session

LOCAL = NetworkPolicy(allow=("127.0.0.1",))


class _Server:
    """Answers `paths` (path -> (status, headers)) and keeps what it was asked."""

    def __init__(self, address="127.0.0.1") -> None:
        self.asked, self.paths = [], {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                server.asked.append((self.path, dict(self.headers), self.rfile.read(length)))
                status, headers = server.paths.get(self.path, (200, {}))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "2"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"ok")

            do_GET = do_POST = _answer  # noqa: N815

            def log_message(self, *args):
                pass

        self._http = ThreadingHTTPServer((address, 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://{address}:{self.port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self):
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server():
    made = _Server()
    yield made
    made.close()


@pytest.fixture
def elsewhere():
    made = _Server("127.0.0.2")
    yield made
    made.close()


def test_an_allowed_server_answers(server):
    assert session(LOCAL).get(f"{server.url}/orders").text == "ok"


def test_a_private_server_that_nobody_allowed_is_not_asked(server):
    with pytest.raises(AddressRefused):
        session(NetworkPolicy()).get(server.url)
    assert server.asked == []


def test_a_redirect_to_a_refused_address_is_not_followed(server, elsewhere):
    server.paths["/go"] = (302, {"Location": f"{elsewhere.url}/inside"})
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.2"):
        session(LOCAL).get(f"{server.url}/go")
    assert elsewhere.asked == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://127.0.0.1:70/", "ftp://127.0.0.1/", "dict://x/"])
def test_only_http_is_spoken_redirects_included(server, target):
    with pytest.raises(AddressRefused):
        session(LOCAL).get(target)
    server.paths["/go"] = (302, {"Location": target})
    with pytest.raises(AddressRefused):
        session(LOCAL).get(f"{server.url}/go")


def test_a_name_that_changes_after_it_was_checked_leads_nowhere_else(server, elsewhere, monkeypatch):
    """DNS rebinding: the first answer is harmless, each further one is not."""
    answers = iter(["127.0.0.1"])
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **more: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers, "127.0.0.2"), port))
        ],
    )
    client = session(LOCAL)
    assert client.get(f"http://rebound.example:{server.port}/").text == "ok"
    client.close()  # the open connection would be used again
    with pytest.raises(AddressRefused):
        client.get(f"http://rebound.example:{elsewhere.port}/")
    assert [headers["Host"] for _, headers, _ in server.asked] == [f"rebound.example:{server.port}"]
    assert elsewhere.asked == []


def test_keys_stay_with_the_origin_that_they_are_for(server, elsewhere):
    server.paths["/go"] = (302, {"Location": f"{elsewhere.url}/other"})
    keys = {"Authorization": "Bearer k1", "X-API-Key": "k2", "Cookie": "k3", "X-Tenant": "k4"}
    client = session(NetworkPolicy(allow=("127.0.0.0/8",)))
    client.headers["Api-Key"] = "k5"
    assert client.get(f"{server.url}/go", headers=keys).text == "ok"
    assert {"k2", "k4", "k5"} <= set(server.asked[0][1].values())
    [(path, headers, _)] = elsewhere.asked
    assert path == "/other"
    assert not [value for value in headers.values() if value[-2:] in ("k1", "k2", "k3", "k4", "k5")]


def test_keys_go_along_within_one_origin(server):
    server.paths["/go"] = (307, {"Location": "/there"})
    session(LOCAL).post(f"{server.url}/go", headers={"X-API-Key": "k"}, json={"a": 1})
    path, headers, body = server.asked[-1]
    assert (path, headers["X-API-Key"], body) == ("/there", "k", b'{"a": 1}')


def test_a_body_is_not_sent_on_to_another_origin(server, elsewhere):
    server.paths["/go"] = (307, {"Location": f"{elsewhere.url}/steal"})
    with pytest.raises(AddressRefused):
        session(NetworkPolicy(allow=("*",))).post(f"{server.url}/go", data={"client_secret": "s"})
    assert elsewhere.asked == []


def test_redirects_in_a_circle_end(server):
    server.paths["/go"] = (302, {"Location": "/go"})
    with pytest.raises(requests.TooManyRedirects):
        session(LOCAL).get(f"{server.url}/go")
    assert len(server.asked) < 10


def test_proxies_and_netrc_of_the_environment_play_no_part(server, elsewhere, monkeypatch, tmp_path):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password of-the-worker")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, elsewhere.url)
    session(LOCAL).get(server.url)
    assert "Authorization" not in server.asked[0][1]
    assert elsewhere.asked == []


def test_where_nobody_listens_it_is_a_connection_error():
    with closed_port() as port, pytest.raises(requests.ConnectionError):
        session(LOCAL).get(f"http://127.0.0.1:{port}/")


# --- certificates ------------------------------------------------------------------------


@pytest.fixture
def certified(tmp_path):
    """An HTTPS server whose certificate says `secure.example`, and the file of who vouches for it."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    _make_certificate("secure.example", certificate, key)
    made = _Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    made._http.socket = context.wrap_socket(made._http.socket, server_side=True)
    yield made, str(certificate)
    made.close()


def test_a_certificate_is_asked_of_the_name_not_of_the_address(certified, monkeypatch):
    server, authority = certified
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **more: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))],
    )
    assert session(LOCAL).get(f"https://secure.example:{server.port}/", verify=authority).text == "ok"
    with pytest.raises(requests.exceptions.SSLError):
        session(LOCAL).get(f"https://other.example:{server.port}/", verify=authority)
    with pytest.raises(requests.exceptions.SSLError):
        session(LOCAL).get(f"https://secure.example:{server.port}/")


def _make_certificate(name, certificate_file, key_file):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
