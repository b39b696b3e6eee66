"""Webhooks go to public addresses over https, and only to the address that was checked."""

import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.errors import InvalidInput
from engine.webhooks import addresses as module
from engine.webhooks import sending
from engine.webhooks.addresses import Addresses, is_public
from engine.webhooks.sending import Sender
from tests.receiver import open_receiver

NAME = "hooks.example"


@pytest.fixture
def public():
    """As in production."""
    addresses = Addresses(private=False)
    yield addresses
    addresses.close()


@pytest.fixture
def private():
    """As in development."""
    addresses = Addresses(private=True)
    yield addresses
    addresses.close()


@pytest.fixture
def names(monkeypatch):
    """What names lead to; each look-up takes the next of a name's lists of addresses, the last for ever."""
    names = {}

    def look_up(host, port):
        answers = names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(module, "_look_up", look_up)
    return names


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "[::]",
        "0",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:8.8.8.8]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
        "168.63.129.16",
    ],
)
async def test_addresses_that_are_not_public_are_refused(public, host):
    """However they are written: the system that would connect reads them."""
    with pytest.raises(InvalidInput, match="not public"):
        await public.check_url(f"https://{host}/hook")


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
async def test_public_addresses_are_allowed(public, address):
    """Addresses of both families, with a port and a query."""
    assert is_public(address)
    await public.check_url(f"https://{f'[{address}]' if ':' in address else address}:8443/hook?a=b")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example",
        "http://8.8.8.8/",
        "ftp://8.8.8.8/",
        "file:///etc/passwd",
        "https://",
        "https://user:password@8.8.8.8/",
        "https://8.8.8.8/#part",
        "https://[::1",
        "https://xn--/",
        "https://0177.0.0.1/",
        "https://nobody.invalid/",
        f"https://{'a' * 64}.example/",
        "https://8.8.8.8:99999/",
        "https://8.8.8.8:0/",
    ],
)
async def test_what_is_no_address_for_webhooks_is_refused(public, url):
    """Each as a wrong field, none as a crash."""
    with pytest.raises(InvalidInput):
        await public.check_url(url)


async def test_development_may_use_private_addresses_and_plain_http(private):
    """By a setting; other schemes stay out."""
    await private.check_url("http://127.0.0.1:9000/hook")
    await private.check_url("https://nobody.invalid/")
    with pytest.raises(InvalidInput):
        await private.check_url("ftp://127.0.0.1/")


async def test_one_private_address_of_a_name_is_enough_to_refuse_it(public, names):
    """Else a connection that fails would lead to the next one."""
    names[NAME] = [["8.8.8.8", "10.0.0.1"]]
    with pytest.raises(InvalidInput, match="not public"):
        await public.check_url(f"https://{NAME}/")


async def test_a_name_that_moves_to_a_private_address_is_not_called(public, names):
    """What was public when the endpoint was made is looked at again at each request."""
    async with open_receiver() as receiver:
        url = f"https://{NAME}:{receiver.url.rsplit(':', 1)[1]}"
        names[NAME] = [["8.8.8.8"], ["127.0.0.1"]]
        await public.check_url(url)
        answer = await Sender(public).send(url, {}, b"{}")
        assert (answer.status_code, answer.error.partition(":")[0]) == (None, "PrivateAddress")
        assert receiver.most_open == 0


async def test_the_checked_address_is_called_with_the_name_in_it(private, names):
    """One look-up for one request, of which the next address is tried if the first takes no connection."""
    async with open_receiver() as receiver:
        port = receiver.url.partition("/hook")[0].rsplit(":", 1)[1]
        names[NAME] = [["127.0.0.2", "127.0.0.1"], []]
        answer = await Sender(private).send(f"http://{NAME}:{port}/hook", {"webhook-id": "msg_1"}, b"{}")
        assert (answer.status_code, answer.error) == (200, None)
        (one,) = receiver.received
        assert (one.headers["host"], one.headers["webhook-id"], one.body) == (f"{NAME}:{port}", "msg_1", b"{}")


@pytest.fixture
def certificate(tmp_path):
    """A certificate for `NAME` and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@pytest.mark.parametrize(("name", "status"), [(NAME, 200), ("other.example", None)])
async def test_the_certificate_is_that_of_the_name(private, names, certificate, monkeypatch, name, status):
    """Though the connection is made by number."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    monkeypatch.setattr(sending, "_trusted", lambda: ssl.create_default_context(cafile=certificate))
    names[name] = [["127.0.0.1"]]
    async with open_receiver(ssl=serving) as receiver:
        answer = await Sender(private).send(receiver.url.replace("127.0.0.1", name), {}, b"{}")
        assert answer.status_code == status
        assert status or "certificate" in answer.error
