"""The one shape of pod every workload has, stateless or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import core, meta, policy

from components import defaults
from components.labels import Identity
from components.storage import SCRATCH
from components.tier_settings import VolumeSettings, WorkloadSettings

HTTP_PORT = 8080
"""Where every HTTP workload of the platform serves, with its health and metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A second container of the same image, which sees what the first one sees: its volumes, its sockets in /tmp.

    It has no probes: its pod is unready while a container is down, and what it is for is not what the pod is for.
    """

    name: str
    ports: Mapping[str, int]
    cpu: str
    memory: str
    args: Sequence[str]
    env: Sequence[core.v1.EnvVarArgs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A container that runs to its end before the next one starts: the volumes are the pod's, all else is its own."""

    name: str
    image: str
    cpu: str
    memory: str
    args: Sequence[str]
    env: Sequence[core.v1.EnvVarArgs]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodArgs:
    """What differs between the pods of two workloads.

    `ports` are by name, the one it is there for first; a Job has none. `command` goes in place of the image's own. `files`
    maps a mount path to the read-only volume behind it. `scratch` is a volume at /data that goes with the pod.
    `shutdown_seconds` is what the process may take after the preStop pause. `token` is for what calls the Kubernetes API
    itself. `before` is what runs before the container, and `beside` what runs beside it.
    """

    image: str
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    cpu: str
    memory: str
    health: defaults.Health | None
    user: int = defaults.USER
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[core.v1.EnvVarArgs] = ()
    files: Mapping[str, core.v1.VolumeArgs] = field(default_factory=dict[str, core.v1.VolumeArgs])
    scratch: VolumeSettings | None = None
    shutdown_seconds: int = 25
    token: bool = False
    before: Sequence[Step] = ()
    beside: Sequence[Sidecar] = ()

    def once(self, args: Sequence[str]) -> "PodArgs":
        """Return a pod of the same image, user and size that runs a command and ends."""
        return PodArgs(image=self.image, cpu=self.cpu, memory=self.memory, user=self.user, health=None, args=args)

    @property
    def port(self) -> int:
        """The one it is there for."""
        return next(iter(self.ports.values()))


def http_pod(
    settings: WorkloadSettings, *, args: Sequence[str] = (), env: Sequence[core.v1.EnvVarArgs] = ()
) -> PodArgs:
    """Return the pod of a workload that serves HTTP, `/healthz` and `/readyz`."""
    return PodArgs(
        image=settings.image,
        ports={"http": HTTP_PORT},
        cpu=settings.cpu,
        memory=settings.memory,
        args=args,
        env=env,
        health=defaults.http_health(HTTP_PORT),
    )


PRE_STOP_SECONDS = 5
"""How long a pod keeps serving after it is told to go: until kube-proxy and clients have stopped choosing it."""


def pod_template(
    identity: Identity,
    args: PodArgs,
    account: pulumi.Input[str],
    *,
    data: str | None = None,
    restart_policy: str | None = None,
) -> core.v1.PodTemplateSpecArgs:
    """Return the template of a pod that meets Pod Security *restricted* and writes only to /tmp and `data`.

    `data` names the claim mounted at /data. `restart_policy` is for Jobs, whose pods serve nothing and so do not pause.
    """
    serves = restart_policy is None
    temporary = core.v1.VolumeArgs(name="tmp", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="64Mi"))
    mounts = [core.v1.VolumeMountArgs(name="tmp", mount_path=defaults.TEMPORARY)]
    volumes = [temporary, *args.files.values()]
    if args.scratch:
        data = "scratch"
        volumes.append(_scratch(data, args.scratch))
    if data:
        mounts.append(core.v1.VolumeMountArgs(name=data, mount_path="/data"))
    for path, volume in args.files.items():
        mounts.append(core.v1.VolumeMountArgs(name=volume.name, mount_path=path, read_only=True))
    pause = core.v1.LifecycleArgs(
        pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=PRE_STOP_SECONDS))
    )
    health = args.health
    container = core.v1.ContainerArgs(
        name=identity.name,
        image=args.image,
        image_pull_policy="IfNotPresent",
        command=list(args.command) or None,
        args=list(args.args) or None,
        env=list(args.env),
        ports=_container_ports(args.ports) or None,
        resources=defaults.resources(args.cpu, args.memory),
        security_context=defaults.CONTAINER_SECURITY,
        volume_mounts=mounts,
        lifecycle=pause if serves else None,
        liveness_probe=health.liveness if health else None,
        readiness_probe=health.readiness if health else None,
        startup_probe=health.startup if health else None,
    )
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels=identity.labels),
        spec=core.v1.PodSpecArgs(
            service_account_name=account,
            automount_service_account_token=args.token,
            # A Service called redis would put REDIS_PORT=tcp://… into every pod and be misread.
            enable_service_links=False,
            security_context=defaults.pod_security(args.user),
            init_containers=[_before(step, mounts) for step in args.before] or None,
            containers=[container, *(_beside(sidecar, args.image, mounts) for sidecar in args.beside)],
            volumes=volumes,
            topology_spread_constraints=defaults.spread(identity) if serves else None,
            termination_grace_period_seconds=PRE_STOP_SECONDS + args.shutdown_seconds,
            restart_policy=restart_policy,
        ),
    )


def _before(step: Step, mounts: Sequence[core.v1.VolumeMountArgs]) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name=step.name,
        image=step.image,
        image_pull_policy="IfNotPresent",
        args=list(step.args),
        env=list(step.env),
        resources=defaults.resources(step.cpu, step.memory),
        security_context=defaults.CONTAINER_SECURITY,
        volume_mounts=list(mounts),
    )


def _beside(sidecar: Sidecar, image: str, mounts: Sequence[core.v1.VolumeMountArgs]) -> core.v1.ContainerArgs:
    """Return the sidecar's container."""
    return core.v1.ContainerArgs(
        name=sidecar.name,
        image=image,
        image_pull_policy="IfNotPresent",
        args=list(sidecar.args),
        env=list(sidecar.env),
        ports=_container_ports(sidecar.ports),
        resources=defaults.resources(sidecar.cpu, sidecar.memory),
        security_context=defaults.CONTAINER_SECURITY,
        volume_mounts=list(mounts),
    )


def _container_ports(ports: Mapping[str, int]) -> list[core.v1.ContainerPortArgs]:
    return [core.v1.ContainerPortArgs(name=name, container_port=port) for name, port in ports.items()]


def _scratch(name: str, volume: VolumeSettings) -> core.v1.VolumeArgs:
    """Return a volume that is made for one pod and deleted with it."""
    claim = core.v1.PersistentVolumeClaimTemplateArgs(
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=SCRATCH,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": volume.size}),
        )
    )
    return core.v1.VolumeArgs(name=name, ephemeral=core.v1.EphemeralVolumeSourceArgs(volume_claim_template=claim))


def service_account(identity: Identity, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Create the workload's own account, whose token no pod gets unless it asks for it, and return its name."""
    account = core.v1.ServiceAccount(
        identity.name, metadata=identity.metadata(), automount_service_account_token=False, opts=opts
    )
    return account.metadata.name.apply(str)


def disruption_budget(identity: Identity, opts: pulumi.ResourceOptions) -> None:
    """Let a drain take one of the workload's pods at a time, and the only one too: a budget of none would block it."""
    policy.v1.PodDisruptionBudget(
        identity.name,
        metadata=identity.metadata(),
        spec=policy.v1.PodDisruptionBudgetSpecArgs(max_unavailable=1, selector=identity.label_selector),
        opts=opts,
    )
