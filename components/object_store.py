"""Object storage: files, backups and logs."""

import json
from collections.abc import Mapping, Sequence

import pulumi

from components import bucket_jobs, buckets
from components.certificates import CA_FILE, TLS, certificate, on_renewal
from components.connections import PRIVATE_RANGES, Endpoint, Peer, Range, secret_env
from components.defaults import https_health
from components.jobs import Task
from components.labels import Identity
from components.namespaces import Namespace
from components.passwords import login, password
from components.pods import PodArgs
from components.recovery import needs_no_backup
from components.settings import BucketKey, BucketKeys
from components.stateful import Stateful, service
from components.tier_settings import ObjectEndpoint, ObjectStoreSettings

_PORT = 7070
_USER = 1000
_OWNER = "owner"
_REGION = "us-east-1"  # signed into each request, and nothing more
_HEALTH = "/_/health"
_PUBLIC_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"


def start(data: str, tls: str, *, port: int = _PORT, seconds: int = 30) -> Sequence[str]:
    """Return the command that runs the gateway, and tells it to read its certificate again when that was renewed."""
    script = f"""\
mkdir -p {data}/objects {data}/versions {data}/accounts
{on_renewal('kill -HUP "$server"', tls=tls, seconds=seconds)}\
exec versitygw --port=:{port} --region={_REGION} --cert={tls}/tls.crt --key={tls}/tls.key --health={_HEALTH} \\
    --iam-dir={data}/accounts --quiet posix --versioning-dir={data}/versions {data}/objects
"""
    return ["sh", "-c", script]


class ObjectStore(pulumi.ComponentResource):
    """Buckets for files, backups and logs, with an account for each kind of client that can do its own work and no more.

    Without an endpoint in the settings it is a gateway with a volume; with one, a store outside the cluster, whose keys come
    from the stack's configuration. `image` is for what speaks to it. `encryption_key` is what clients encrypt backups with, so that the store cannot read them;
    with `volume.keep`, one that was made here is protected.
    After a rotation, `retirement` ends the accounts of the rotations before.
    """

    image: str
    retirement: Task | None
    encryption_key: pulumi.Output[str]
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: ObjectStoreSettings,
        *,
        namespace: Namespace,
        keys: BucketKeys,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:ObjectStore", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        self.connections = []
        self.retirement = None
        self.image = args.buckets_image
        given = pulumi.Output.secret(keys.encryption) if keys.encryption else None
        # Without it no backup can be read any more: it stays for as long as the volumes do.
        kept = pulumi.ResourceOptions(parent=self, protect=args.volume.keep)
        self.encryption_key = given or password(f"{name}-encryption", 1, kept)
        jobs = namespace.identity(f"{name}-buckets", "objects")
        if args.endpoint:
            prefix, days = args.endpoint.prefix, args.retention_days
            self._accounts: Mapping[str, Peer] = {
                user: _outside(name, args.endpoint, f"{prefix}{rights.bucket}", keys.account(user))
                for user, rights in buckets.ACCOUNTS.items()
            }
            if args.endpoint.create:
                principals = {user: (key.principal,) for user, key in keys.accounts.items() if key.principal}
                document = json.dumps({"accounts": None, "buckets": buckets.wanted(prefix, days, days, principals)})
                owner = _outside(name, args.endpoint, "", keys.account(_OWNER))
                self.connections = bucket_jobs.task(jobs, self.image, owner, document).run(self, [])
        else:
            identity = namespace.identity(name, "objects")
            passwords = {user: password(f"{name}-{user}", args.rotation, child) for user in (_OWNER, *buckets.ACCOUNTS)}
            gateway = _gateway(identity, args, passwords[_OWNER], child)
            host = service(name, identity, {"s3": _PORT}, child)

            def account(user: str, key_id: str, bucket: str = "") -> Endpoint:
                return Endpoint(
                    of=identity,
                    ports=[_PORT],
                    env=_environment(f"{host}:{_PORT}", _REGION, bucket, CA_FILE),
                    secrets={"OBJECTS_KEY_ID": key_id, "OBJECTS_KEY": passwords[user]},
                    tls=True,
                )

            def task(job: Identity, *, retire: bool) -> Task:
                given = pulumi.Output.all(**{user: passwords[user] for user in buckets.ACCOUNTS})
                document = given.apply(lambda keys: json.dumps(buckets.on_gateway(args, keys, _OWNER, retire=retire)))
                return bucket_jobs.task(job, self.image, owner, document)

            self._accounts = {
                user: account(user, login(user, args.rotation), rights.bucket)
                for user, rights in buckets.ACCOUNTS.items()
            }
            owner = account(_OWNER, _OWNER)
            self.connections = task(jobs, retire=False).run(self, [gateway])
            if args.rotation > 1:
                self.retirement = task(namespace.identity(f"{name}-retirement", "objects"), retire=True)
            sweeper = namespace.identity(f"{name}-sweep", "objects")
            swept = bucket_jobs.sweep(sweeper, self.image, owner, args.retention_days, child)
            self.connections = [*self.connections, *swept]
        self.register_outputs({})

    def account(self, user: str) -> Peer:
        """Return the store as one of its accounts reaches it: `files`, `backups`, `backups-keeper` or `logs`."""
        return self._accounts[user]


def _gateway(
    identity: Identity,
    args: ObjectStoreSettings,
    secret: pulumi.Output[str],
    opts: pulumi.ResourceOptions,
) -> Stateful:
    root = secret_env(
        identity, f"{identity.name}-root", {"ROOT_ACCESS_KEY_ID": _OWNER, "ROOT_SECRET_ACCESS_KEY": secret}, opts
    )
    pod = PodArgs(
        image=args.image,
        ports={"s3": _PORT},
        cpu=args.cpu,
        memory=args.memory,
        user=_USER,
        command=start("/data", TLS),
        env=root,
        files={TLS: certificate(identity, [identity.host(identity.name)], opts)},
        health=https_health(_PORT, _HEALTH),
    )
    # It is where backups are. What else is in it keeps its versions, and is in one place only.
    unsaved = needs_no_backup("backups are put into it, and files and logs keep their versions there")
    return Stateful(identity, pod, args.volume, annotations=unsaved, opts=opts)


def _environment(endpoint: str, region: str, bucket: str, trust: str) -> Mapping[str, str]:
    known = {"OBJECTS_ENDPOINT": endpoint, "OBJECTS_REGION": region, "OBJECTS_CA_FILE": trust}
    return known | ({"OBJECTS_BUCKET": bucket} if bucket else {})


def _outside(name: str, endpoint: ObjectEndpoint, bucket: str, key: BucketKey) -> Range:
    """Return a store outside the cluster as the holder of a key reaches it."""
    return Range(
        name=name,
        cidrs=["0.0.0.0/0"],
        ports=[endpoint.port],
        excluded=PRIVATE_RANGES,
        env=_environment(f"{endpoint.host}:{endpoint.port}", endpoint.region, bucket, _PUBLIC_CA_FILE),
        secrets={"OBJECTS_KEY_ID": key.id, "OBJECTS_KEY": pulumi.Output.secret(key.key)},
    )
