"""Certificates as an administrator, or an accident, makes them: with the openssl program."""
import os
import subprocess
import tempfile

CONFIG = """
[ca]
default_ca = cluster
[cluster]
database = {work}/index.txt
serial = {work}/serial
new_certs_dir = {work}
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
"""


def _openssl(*words, **options):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, **options)


def _put(path, content):
    """New content, the owner and the mode as before."""
    path.write_bytes(content)


def renew(pki, begins, ends):
    """A certificate for the node's own key, with the same names, signed by the authority in `pki`. Times:
    YYYYMMDDHHMMSSZ."""
    with tempfile.TemporaryDirectory() as work:
        for name, content in (("index.txt", ""), ("serial", os.urandom(8).hex()), ("ca.cnf", CONFIG.format(work=work))):
            with open(f"{work}/{name}", "w", encoding="ascii") as out:
                out.write(content)
        _openssl("x509", "-x509toreq", "-in", pki / "node.crt", "-signkey", pki / "node.key", "-copy_extensions", "copy",
                 "-out", f"{work}/request")
        _openssl("ca", "-batch", "-notext", "-config", f"{work}/ca.cnf", "-cert", pki / "ca.crt", "-keyfile",
                 pki / "ca.key", "-in", f"{work}/request", "-out", f"{work}/node.crt", "-startdate", begins,
                 "-enddate", ends)
        with open(f"{work}/node.crt", "rb") as made:
            _put(pki / "node.crt", made.read())


def expired(pki):
    renew(pki, "20200101000000Z", "20210101000000Z")


def self_made(pki, name):
    """An authority that nobody knows, and a certificate of it."""
    with tempfile.TemporaryDirectory() as work:
        for who in ("ca", "node"):
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f"{work}/{who}.key")
        _openssl("req", "-x509", "-new", "-key", f"{work}/ca.key", "-subj", "/CN=stranger CA", "-days", "30", "-out",
                 f"{work}/ca.crt")
        _openssl("req", "-new", "-key", f"{work}/node.key", "-subj", f"/CN={name}", "-out", f"{work}/request")
        _openssl("x509", "-req", "-in", f"{work}/request", "-CA", f"{work}/ca.crt", "-CAkey", f"{work}/ca.key",
                 "-CAcreateserial", "-days", "30", "-out", f"{work}/node.crt")
        for file in ("ca.crt", "ca.key", "node.crt", "node.key"):
            with open(f"{work}/{file}", "rb") as made:
                _put(pki / file, made.read())
