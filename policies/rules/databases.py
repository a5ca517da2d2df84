"""PostgreSQL: nobody comes in unseen or without TLS, as a superuser or with a password that everybody knows; nothing acknowledged is lost."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from policies.clients import environment
from policies.containers import containers, has_pods
from policies.databases import (
    accesses,
    archives,
    configuration_of,
    configured,
    interval,
    on,
    parameter,
    patroni,
    run_by_patroni,
)
from policies.rule import Admission, Manifest, Rule, StackRule, at

_TLS = ("tlsv1.2", "tlsv1.3")
_PROVEN = {"local": ("peer", "scram-sha-256", "reject"), "hostssl": ("scram-sha-256", "cert", "reject")}
_LOST = ("off", "false", "no", "0", "local")
_NOWHERE = ("", "true", "/bin/true", ":", "exit 0", "(disabled)")
_MEMBERS = 3
_SUPERUSERS = ("postgres", "root", "admin", "sa", "superuser", "rdsadmin")
_USERS = ("USERNAME", "USER", "LOGIN")
_SERVER = r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb|sqlserver)(?:\+\w+)?://"
_IN_ADDRESS = re.compile(rf"{_SERVER}([^\s:/?@]+)(?::[^\s/@]*)?@", re.IGNORECASE)
_IN_SETTINGS = re.compile(r"\buser\s*=\s*['\"]?([^\s&'\"]+)", re.IGNORECASE)
_CONNECTS = re.compile(rf"{_SERVER}|\b(?:host|hostaddr|dbname)\s*=", re.IGNORECASE)
# A variable with its value; CEL reads it too.
_OPEN = (
    r"^[^=]*_HOST_AUTH_METHOD=\s*(?i:trust)\s*$"
    r"|^(?:(?:ALLOW_EMPTY|[^=]*_ALLOW_EMPTY_)[^=]*|[^=]*_DISABLE_AUTH)=\s*(?i:yes|true|1|on)\s*$"
)

Check = Callable[[Manifest], Iterator[str]]


def _of_patroni(check: Check) -> Check:
    """Return a check of an object by what it says to Patroni."""

    def of(manifest: Manifest) -> Iterator[str]:
        for message in check(patroni(manifest)):
            yield f"metadata.annotations.config: {message}"

    return of


def _only_tls(configuration: Manifest) -> Iterator[str]:
    if not on(configuration, "ssl"):
        yield "ssl is off; set postgresql.parameters.ssl to on"
    if parameter(configuration, "ssl_min_protocol_version", "tlsv1.2") not in _TLS:
        yield "ssl_min_protocol_version is broken; set it to TLSv1.3"
    lines = accesses(configuration)
    if not lines:
        yield "pg_hba is left to the default; list who may come in, each as hostssl"
    for index, access in enumerate(lines):
        if access.connection not in _PROVEN and access.method != "reject":
            yield f"pg_hba[{index}] lets somebody in without TLS; begin it with hostssl"


def _proven(configuration: Manifest) -> Iterator[str]:
    if parameter(configuration, "password_encryption", "scram-sha-256") != "scram-sha-256":
        yield "password_encryption keeps what is as good as the password; set it to scram-sha-256"
    for index, access in enumerate(accesses(configuration)):
        if access.method not in _PROVEN.get(access.connection, _PROVEN["hostssl"]):
            yield f"pg_hba[{index}] lets somebody in who proves too little; end it with scram-sha-256"


def _audited(configuration: Manifest) -> Iterator[str]:
    loaded = [name.strip() for name in parameter(configuration, "shared_preload_libraries").split(",")]
    logged = [name.strip() for name in parameter(configuration, "pgaudit.log").split(",")]
    if "pgaudit" not in loaded:
        yield "pgaudit is not loaded; add it to shared_preload_libraries"
    if not {"all", "ddl"} & set(logged) or not {"all", "role"} & set(logged) or {"-ddl", "-role"} & set(logged):
        yield "pgaudit.log leaves out changes of tables or of rights; set it to ddl, role"
    if not on(configuration, "log_connections"):
        yield "log_connections is off; set it to on"
    if interval(configuration, "idle_in_transaction_session_timeout", "ms") <= 0:
        yield "idle_in_transaction_session_timeout is not set: one client stops all others; set it to a minute"


def _kept(configuration: Manifest) -> Iterator[str]:
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if parameter(configuration, name, "on") in _LOST:
            yield f"{name} acknowledges what is not on a disk; leave it on"
    if not archives(configuration):
        yield "archive_mode is off: a backup is all there is; set it to on"
    if parameter(configuration, "archive_command") in _NOWHERE:
        yield "archive_command archives nothing; have it bring each segment to the store"
    if interval(configuration, "archive_timeout", "s") <= 0:
        yield "archive_timeout is not set: a quiet hour is archived when it is over; set it to a minute"


def _replicated(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if not run_by_patroni(manifest):
            continue
        if at(manifest, "spec.replicas", 1) < _MEMBERS:
            yield manifest, f"spec.replicas is too few to lose one and still have two; set it to {_MEMBERS}"
        found = configuration_of(manifest, manifests)
        if found is None:
            yield manifest, "metadata.name has no configuration of Patroni's; create the ConfigMap SCOPE-config"
        elif at(patroni(found), "synchronous_mode", default=False) not in (True, "on", "true", "quorum"):
            yield (
                found,
                "metadata.annotations.config: synchronous_mode is off: a lost primary takes writes along; set it",
            )


def _logins(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the path of each login that an object's containers are told, and whose it is."""
    for container in containers(manifest):
        for name, value in environment(container.spec).items():
            if name == "PGUSER" or name.endswith(tuple(f"_{user}" for user in _USERS)):
                yield f"{container.path}.env.{name}", value.lower()
            yield from ((f"{container.path}.env.{name}", user) for user in _users(value))
        for part in ("command", "args"):
            for word in at(container.spec, part, []):
                yield from ((f"{container.path}.{part}", user) for user in _users(str(word)))


def _users(text: str) -> Iterator[str]:
    """Yield the user of each address of a server in a text: before the host, or among its settings."""
    found = [*_IN_ADDRESS.findall(text), *(_IN_SETTINGS.findall(text) if _CONNECTS.search(text) else ())]
    yield from (unquote(user).lower() for user in found)


def _logs_in(manifest: Manifest) -> bool:
    return any(True for _login in _logins(manifest))


def _no_superuser(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        # What sets up logins has to be one, and is gone when it is done.
        if at(manifest, "kind") != "Job":
            for path, user in _logins(manifest):
                if user in _SUPERUSERS:
                    fix = "give it a login of its own, with its own rights"
                    yield manifest, f"{path} is a superuser, all the time; {fix}"


def _closed(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for name, value in environment(container.spec).items():
            if re.search(_OPEN, f"{name}={value}"):
                yield f"{container.path}.env.{name} lets everybody in; take it away, and give a password from a Secret"


def _about_patroni(name: str, severity: Any, description: str, why: str, check: Check, *controls: str) -> Rule:
    return Rule(
        name=name,
        description=description,
        why=why,
        box="database-security",
        severity=severity,
        controls=controls,
        about=configured,
        check=_of_patroni(check),
    )


DATABASE_RULES: tuple[Rule | StackRule, ...] = (
    _about_patroni(
        "database-only-tls",
        "high",
        "PostgreSQL takes connections from the network with TLS only.",
        "A client that is not made to use TLS sends its password's proof, and all rows, to whoever listens.",
        _only_tls,
    ),
    _about_patroni(
        "database-logins-proven",
        "high",
        "Whoever logs in to PostgreSQL proves it by SCRAM, a certificate, or as the system's own user.",
        "With trust everybody is everybody; what md5 keeps is as good as the password itself.",
        _proven,
    ),
    _about_patroni(
        "database-audited",
        "medium",
        "PostgreSQL logs who connects and who changes tables or rights, and lets no client hold a lock while it is idle.",
        "After a theft nobody can say which login did it, or what it left behind.",
        _audited,
    ),
    _about_patroni(
        "database-durable",
        "high",
        "PostgreSQL acknowledges what is on a disk, and brings its log to the archive within a fixed time.",
        "A crash, or the loss of the disk, takes what a client was told is safe.",
        _kept,
    ),
    StackRule(
        name="database-replicated",
        description="PostgreSQL has three servers, and a write is acknowledged when two have it.",
        why="With fewer, the loss of one server is the loss of what it alone had, or of the service.",
        box="database-security",
        severity="medium",
        about=run_by_patroni,
        check=_replicated,
    ),
    StackRule(
        name="database-no-superuser",
        description="Nothing that keeps running, or runs again and again, logs in as a superuser.",
        why="A hole in an application is then a hole in every database of the server, and in the server's own files.",
        box="database-security",
        severity="high",
        about=_logs_in,
        check=_no_superuser,
    ),
    Rule(
        name="database-closed",
        description="No server is told to let in whoever comes without a password.",
        why="One pod that is taken over, or one forgotten port, is enough to read everything.",
        box="database-security",
        severity="critical",
        about=has_pods,
        check=_closed,
        admission=Admission(
            expressions=(
                f"""variables.containers.all(each, each.?env.orValue([]).all(variable,
                    !(variable.name + '=' + variable.?value.orValue('')).matches(r'{_OPEN}')))""",
            ),
        ),
    ),
)
