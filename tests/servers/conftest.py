"""The servers of the suite."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from local import toolchain
from tests.processes import eventually, free_port, listens, running
from tests.servers.gateway import Aws, Gateway, certify


@pytest.fixture(scope="session")
def gateway_binary() -> Path:
    """Return the directory of the gateway's binary, built if the cache lacks it."""
    return toolchain.build(print, [toolchain.VERSITYGW])


@pytest.fixture(scope="module")
def gateway(gateway_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """Run a gateway whose buckets and accounts are as the platform wants them; a test leaves them so."""
    made = Gateway(tmp_path_factory.mktemp("gateway"), gateway_binary)
    with made.running():
        made.apply()
        yield made


@pytest.fixture
def empty(gateway_binary: Path, tmp_path: Path) -> Generator[Gateway]:
    """Run a gateway that has nothing yet."""
    made = Gateway(tmp_path, gateway_binary)
    with made.running():
        yield made


@pytest.fixture
def aws(tmp_path: Path) -> Generator[Aws]:
    """Run the stand-in for AWS S3."""
    certify(tmp_path / "tls", 1)
    made = Aws(free_port(), tmp_path / "tls" / "tls.crt")
    command = [sys.executable, "-m", "moto.server", f"--port={made.port}", "--host=localhost"]
    command += [f"--ssl-cert={made.trust}", f"--ssl-key={tmp_path / 'tls' / 'tls.key'}"]
    with running(command, tmp_path / "moto.log"):
        eventually(lambda: listens(made.port), "the stand-in listens", 30)
        yield made
