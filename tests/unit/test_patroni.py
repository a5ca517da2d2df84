"""What Patroni's servers ask each other goes over TLS, and each verifies who issued the other's certificate."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.render import STACKS, committed
from tests.unit.test_stacks import pod

IMAGE = Path(__file__).parents[2] / "images" / "postgres"


def test_who_issued_a_certificate_is_verified() -> None:
    """Without the `certfile` of a client, 4.1.4 takes `insecure` to mean that nothing is."""
    configured: dict[str, Any] = yaml.safe_load((IMAGE / "patroni.yml").read_text())
    own = {"certfile": "/etc/tls/tls.crt", "keyfile": "/etc/tls/tls.key"}
    assert configured["ctl"] == {**own, "cacert": "/etc/tls/ca.crt", "insecure": True}
    assert own.items() <= configured["restapi"].items()
    assert "patroni==4.1.4" in (IMAGE / "requirements.lock").read_text(), "look at patroni/request.py again"


@pytest.mark.parametrize("stack", STACKS)
def test_the_kubelet_asks_over_tls(stack: str) -> None:
    server = committed(stack).of("StatefulSet")["data/postgres"]
    (container,) = [each for each in pod(server)["containers"] if each["name"] == "postgres"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
