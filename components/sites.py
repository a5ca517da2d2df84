"""Sites inside the cluster that may be scraped: the one exception to "no private address"."""

from collections.abc import Sequence

from pulumi_kubernetes import core

from components.connections import Endpoint
from components.labels import Identity
from components.tier_settings import Site


def endpoints(sites: Sequence[Site]) -> list[Endpoint]:
    """Return the sites as servers this program does not deploy; their pods carry the site's name as their name label."""
    return [
        Endpoint(
            of=Identity(name=site.name, namespace=site.namespace, tier="site", placement=site.namespace),
            ports=[site.port],
            ours=False,
        )
        for site in sites
    ]


def allowed_hosts(sites: Sequence[Site]) -> core.v1.EnvVarArgs:
    """Return the variable that tells a workload which host names it may accept although they resolve to the cluster."""
    return core.v1.EnvVarArgs(name="SCRAPE_ALLOWED_HOSTS", value=",".join(site.host for site in sites))
