"""The certificates: each says who it is and no more, each is signed by the right authority, none is made twice."""

import stat
import subprocess
from pathlib import Path

import pytest

from local.node import pki


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki")
    pki.issue(made)
    return made


def openssl(*words: str | Path) -> str:
    return subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("certificate", pki.CERTIFICATES, ids=lambda certificate: certificate.name)
def test_each_certificate_is_signed_by_its_authority_alone(folder: Path, certificate: pki.Certificate) -> None:
    file = folder / f"{certificate.name}.crt"
    for authority in pki.AUTHORITIES:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / f"{authority}.crt"), str(file)]
        accepted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        assert accepted == (authority == certificate.authority), authority


def test_only_the_administrator_is_a_master(folder: Path) -> None:
    subjects = {file.stem: openssl("x509", "-in", file, "-noout", "-subject") for file in folder.glob("*.crt")}
    assert [name for name, subject in subjects.items() if "system:masters" in subject] == ["admin"]
    assert subjects["kubelet"].strip().endswith("O = system:nodes, CN = system:node:platform-node")
    assert subjects["kube-scheduler"].strip().endswith("CN = system:kube-scheduler")


def test_the_kubelet_answers_to_the_nodes_name_and_address(folder: Path) -> None:
    names = openssl("x509", "-in", folder / "kubelet.crt", "-noout", "-ext", "subjectAltName")
    assert "DNS:platform-node" in names
    assert "IP Address:10.243.0.1" in names


def test_keys_are_readable_by_their_owner_only(folder: Path) -> None:
    keys = list(folder.glob("*.key"))
    assert len(keys) == len(pki.AUTHORITIES) + len(pki.CERTIFICATES) + 2
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_issuing_again_changes_nothing(folder: Path) -> None:
    before = {file: file.read_bytes() for file in folder.iterdir()}
    pki.issue(folder)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_what_an_interruption_left_is_made_again(tmp_path: Path) -> None:
    pki.issue(tmp_path)
    old = (tmp_path / "admin.crt").read_text()
    (tmp_path / "admin.json").unlink()
    (tmp_path / "admin.key").unlink()
    pki.issue(tmp_path)
    assert (tmp_path / "admin.crt").read_text() != old
    assert openssl("pkey", "-in", tmp_path / "admin.key", "-pubout") == openssl(
        "x509", "-in", tmp_path / "admin.crt", "-noout", "-pubkey"
    )


def test_a_new_authority_signs_everything_anew(tmp_path: Path) -> None:
    pki.issue(tmp_path)
    (tmp_path / "ca.json").unlink()
    pki.issue(tmp_path)
    openssl("verify", "-CAfile", tmp_path / "ca.crt", tmp_path / "kubelet.crt")


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    pki.write_private(file, "one")
    inode = file.stat().st_ino
    pki.write_private(file, "one")
    assert file.stat().st_ino == inode
    pki.write_private(file, "two")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("two", 0o600)
