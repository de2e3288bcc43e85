"""Clients of object stores: a real store, checked addresses, and nobody's credentials but the connection's."""

import pytest

from workers.access import Connection
from workers.errors import AddressRefused, SourceMissing, SourceUnavailable
from workers.network import NetworkPolicy
from workers.s3 import s3_client, s3_error

SERVICES = NetworkPolicy(allow=("*",), setting="ASSAY_CONNECTIONS_ALLOW_PRIVATE")


def store(endpoint, username="lake", password="lake-secret", **options):
    options = {"endpoint_url": endpoint, **options}
    return Connection(name="store", kind="s3", username=username, password=password, options=options)


@pytest.fixture
def endpoint(s3_server):
    return s3_server["ASSAY_S3_ENDPOINT_URL"]


def test_a_store_is_read_with_the_connections_credentials(endpoint):
    client = s3_client(store(endpoint), SERVICES)
    client.put_object(Bucket="lake", Key="in/a b.csv", Body=b"id\n1\n")
    assert client.get_object(Bucket="lake", Key="in/a b.csv")["Body"].read() == b"id\n1\n"


def test_host_and_port_are_an_endpoint_as_well(monkeypatch):
    client = s3_client(Connection(name="s", kind="s3", host="127.0.0.1", port=9000), SERVICES)
    assert client.meta.endpoint_url == "https://127.0.0.1:9000"


def test_a_store_at_a_refused_address_is_not_asked(endpoint):
    with pytest.raises(AddressRefused, match=r"127\.0\.0\.1"):
        s3_client(store(endpoint), NetworkPolicy())


def test_each_request_is_checked_anew(endpoint, monkeypatch):
    """A client outlives the check of its endpoint: what its name means later is looked at later."""
    from tests.workers.test_network_policy import resolve_to

    port = endpoint.rpartition(":")[2]
    with monkeypatch.context() as patch:
        resolve_to(patch, "127.0.0.1")
        client = s3_client(store(f"http://store.example:{port}"), SERVICES)
    resolve_to(monkeypatch, "169.254.169.254")
    with pytest.raises(Exception) as caught:
        client.list_objects_v2(Bucket="lake")
    assert isinstance(s3_error(caught.value, "s3://lake"), AddressRefused)


def test_without_a_username_the_worker_lends_nothing(endpoint):
    # The fixture's environment has credentials that would be let in.
    with pytest.raises(Exception) as caught:
        s3_client(store(endpoint, username="", password=""), SERVICES).list_objects_v2(Bucket="lake")
    assert isinstance(s3_error(caught.value, "s3://lake"), SourceMissing)


def test_without_a_connection_the_worker_reads_as_itself(endpoint):
    # Its own store is allowed whatever the policy says.
    s3_client(None, NetworkPolicy()).put_object(Bucket="lake", Key="own", Body=b"1")


@pytest.mark.parametrize(("bucket", "password"), [("no-such-bucket", "lake-secret"), ("lake", "wrong-secret")])
def test_what_a_store_refuses_is_said_without_the_secret(endpoint, bucket, password):
    with pytest.raises(Exception) as caught:
        s3_client(store(endpoint, password=password), SERVICES).list_objects_v2(Bucket=bucket)
    error = s3_error(caught.value, f"s3://{bucket}")
    assert isinstance(error, SourceMissing)
    assert bucket in error.message
    assert password not in str(error.as_dict())


def test_a_store_that_is_away_may_come_back():
    client = s3_client(store("http://127.0.0.1:9"), SERVICES)
    client.meta.config.retries["total_max_attempts"] = 1
    with pytest.raises(Exception) as caught:
        client.list_objects_v2(Bucket="lake")
    assert isinstance(s3_error(caught.value, "s3://lake"), SourceUnavailable)
