"""Certificates and keys: three authorities, and for every component a certificate of its own that says who it is.

Keys are readable by root only. What exists and still says the same is kept, so that running it again changes nothing.
"""

import json
import os
import secrets
import shutil
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

from local.command import output
from local.node.layout import API_ADDRESS, NODE_ADDRESS, NODE_NAME

# With a configuration of our own, no setting of the machine's openssl.cnf finds its way into a certificate.
_OPENSSL = "[req]\ndistinguished_name = name\nprompt = no\n[name]\n"
_DAYS = "3650"
_AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Who a component is: its common name and group for the API server, and the names it answers to as a server."""

    name: str
    common_name: str
    group: str = ""
    authority: str = "ca"
    names: tuple[str, ...] = ("DNS:localhost", "IP:127.0.0.1")


AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca")
CERTIFICATES = (
    Certificate(
        name="kube-apiserver",
        common_name="kube-apiserver",
        names=(
            "DNS:localhost",
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
            "IP:127.0.0.1",
            f"IP:{API_ADDRESS}",
            f"IP:{NODE_ADDRESS}",
        ),
    ),
    Certificate(name="etcd", common_name="etcd", authority="etcd-ca"),
    Certificate(name="etcd-client", common_name="kube-apiserver", authority="etcd-ca"),
    Certificate(name="front-proxy-client", common_name="front-proxy-client", authority="front-proxy-ca"),
    Certificate(name="kubelet-client", common_name="kube-apiserver-kubelet-client"),
    Certificate(name="admin", common_name="platform-admin", group="system:masters"),
    Certificate(name="kube-controller-manager", common_name="system:kube-controller-manager"),
    Certificate(name="kube-scheduler", common_name="system:kube-scheduler"),
    Certificate(
        name="kubelet",
        common_name=f"system:node:{NODE_NAME}",
        group="system:nodes",
        names=(f"DNS:{NODE_NAME}", f"IP:{NODE_ADDRESS}", "IP:127.0.0.1"),
    ),
    Certificate(name="kube-proxy", common_name="system:kube-proxy"),
    Certificate(name="kube-router", common_name="kube-router"),
    Certificate(name="csi-provisioner", common_name="csi-provisioner"),
    Certificate(name="csi-resizer", common_name="csi-resizer"),
    Certificate(name="csi-snapshotter", common_name="csi-snapshotter"),
    Certificate(name="snapshot-controller", common_name="snapshot-controller"),
    Certificate(
        name="metrics-server",
        common_name="metrics-server",
        names=("DNS:metrics-server.kube-system.svc", "DNS:metrics-server.kube-system"),
    ),
)


def issue(folder: Path) -> None:
    """Make what is missing in `folder`: authorities, certificates, the service accounts' key, the encryption key."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "openssl.cnf").write_text(_OPENSSL)
    for authority in AUTHORITIES:
        _make(folder, authority, f"/CN=platform-node {authority}", _AUTHORITY, None)
    for certificate in CERTIFICATES:
        group = f"/O={certificate.group}" if certificate.group else ""
        extensions = (
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=clientAuth,serverAuth",
            f"subjectAltName={','.join(certificate.names)}",
        )
        subject = f"{group}/CN={certificate.common_name}"
        _make(folder, certificate.name, subject, extensions, certificate.authority)
    key, public = folder / "service-accounts.key", folder / "service-accounts.pub"
    if not public.exists():
        output(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])
        key.chmod(0o600)
        output(["openssl", "ec", "-in", key, "-pubout", "-out", public])
    encryption = folder / "encryption.key"
    if not encryption.exists():
        write_private(encryption, b64encode(secrets.token_bytes(32)).decode())


def write_private(file: Path, text: str) -> None:
    """Write `file`, readable by its owner only, whole or not at all; leave it untouched if it says this already."""
    if file.exists() and file.read_text() == text:
        return
    partial = file.with_name(f".{file.name}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    partial.rename(file)


def _make(folder: Path, name: str, subject: str, extensions: tuple[str, ...], authority: str | None) -> None:
    # The request is written last: a certificate without one, or with another one, was interrupted or is outdated.
    signed_by = (folder / f"{authority}.crt").read_text() if authority else ""
    wanted = json.dumps([subject, extensions, signed_by])
    record = folder / f"{name}.json"
    if record.exists() and record.read_text() == wanted:
        return
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        key, certificate = Path(scratch, "key"), Path(scratch, "crt")
        output(
            ["openssl", "req", "-x509", "-config", folder / "openssl.cnf", "-days", _DAYS, "-subj", subject]
            + ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", key, "-out", certificate]
            + ["-utf8", *(word for extension in extensions for word in ("-addext", extension))]
            + (["-CA", folder / f"{authority}.crt", "-CAkey", folder / f"{authority}.key"] if authority else [])
        )
        key.chmod(0o600)
        shutil.move(key, folder / f"{name}.key")
        shutil.move(certificate, folder / f"{name}.crt")
    write_private(record, wanted)
