"""What a rule is, and how it reads what it judges."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Concatenate, Literal, NoReturn, ParamSpec, TypeVar

Manifest = dict[str, Any]
Severity = Literal["low", "medium", "high", "critical"]
P = ParamSpec("P")
T = TypeVar("T")


# Why a value cannot be read.
MARKED = "a secret"
UNKNOWN = "not known yet"
UNMARKED = "the data of a Secret, and not marked as secret"


class UnreadableError(Exception):
    """A rule had to read a value that cannot be read; the text says where it is and why, never what it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable:
    """Stands for a value that is secret, or not known yet. It can be handed on; whoever looks at it is told that they cannot.

    Were it equal to nothing, `runAsUser == 0` would let an unknown user pass.
    """

    path: str
    why: str

    def read(self, *_: object) -> NoReturn:
        """Raise UnreadableError."""
        raise UnreadableError(f"{self.path} is {self.why}")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = read  # pyright: ignore[reportAssignmentType]
    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __str__ = __int__ = read


_get: Callable[[Any, str], Any] = dict[str, Any].get


def at(value: Any, path: str, default: Any = None) -> Any:
    """Return what is at a dotted path, `default` where any part is absent or null; raise UnreadableError if it cannot be read."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = _get(value, part)
        elif isinstance(value, Unreadable):
            value.read()
        else:
            return default
    if isinstance(value, Unreadable):
        value.read()
    return default if value is None else value


class Plain(dict[str, Any]):
    """A resource or an object in plain data, which nothing changes: what was found in it once need not be looked for again."""

    __slots__ = ("found",)

    def __init__(self, *items: Any, **more: Any) -> None:
        super().__init__(*items, **more)
        self.found = dict[object, tuple[Any, ...]]()


def found_once(
    search: Callable[Concatenate[Manifest, P], Iterator[T]],
) -> Callable[Concatenate[Manifest, P], Iterator[T]]:
    """Return a search of an object that, once it came to its end, is not made again: hundreds of rules ask the same."""

    @wraps(search)
    def searched(manifest: Manifest, *args: P.args, **more: P.kwargs) -> Iterator[T]:
        if not isinstance(manifest, Plain):
            return search(manifest, *args, **more)
        key = (search, *args)
        if key not in manifest.found:
            try:
                manifest.found[key] = tuple(search(manifest, *args, **more))
            except UnreadableError:
                return search(manifest, *args, **more)
        return iter(manifest.found[key])

    return searched


def namespace_of(manifest: Manifest) -> str:
    """Return the namespace of an object that is in one."""
    return at(manifest, "metadata.namespace", "default")


def identity(manifest: Manifest) -> tuple[str, str]:
    """Return the namespace and the name of an object."""
    return namespace_of(manifest), at(manifest, "metadata.name", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of any rule: its name, what holds in one sentence, and why: what an attacker or a bad day makes of a breach.

    `box` is one of policies.boxes.BOXES. `controls` are the frameworks' own numbers for it, as `cis:5.2.2`, `pss:privileged`,
    each with a title in `controls.yaml`. `severity` says how bad a breach is; whether it stops a run is for the stack's levels to say.
    """

    name: str
    description: str
    why: str
    box: str
    severity: Severity
    controls: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A rule once more, in the Common Expression Language: what the cluster itself refuses, whoever asks for it.

    Each expression must be true of what is created or changed. `resources` are what it is about, as `apps/deployments`, without
    a group `services`; none of them means whatever has a pod. Of what has a pod the expressions know `variables.pod`, and of that
    the `containers` of all sorts, the security `contexts`, the `volumes`, and whether it is for `linux`.

    `parts` are what of an object the expressions read, beside its pod, as `metadata.annotations`: a change that leaves them as they
    are is not judged. `lacks` is what of the rule the expressions do not say, and why.
    """

    expressions: tuple[str, ...]
    resources: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    lacks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Described):
    """One thing that must hold for every object that `about` says it is about.

    `check` yields a message for each breach: where it is, a semicolon, and what to change; never the value it found. It reads
    plain data and looks at nothing else.
    """

    about: Callable[[Manifest], bool]
    check: Callable[[Manifest], Iterator[str]]
    admission: Admission | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRule(Described):
    """One thing that must hold for all objects of a stack together, if it has one of those that `about` says it is about.

    `check` is given all objects, and names the one that each breach is of, THE_STACK where something is not there at all.
    """

    about: Callable[[Manifest], bool]
    check: Callable[[Sequence[Manifest]], Iterator[tuple[Manifest, str]]]


THE_STACK: Manifest = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One resource as the program registers it, of whatever provider, with the options that only Pulumi knows of.

    `token` is its type, as `random:index/randomPassword:RandomPassword`. `properties` are plain data, as an object's are.
    """

    token: str
    name: str
    properties: Manifest
    protect: bool = False
    delete_before_replace: bool = False
    ignore_changes: Sequence[str] = ()
    additional_secret_outputs: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRule(Described):
    """One thing that must hold for every registered resource that `about` says it is about. Only the engine can judge by it.

    `check` yields messages as a Rule's does.
    """

    about: Callable[[Registered], bool]
    check: Callable[[Registered], Iterator[str]]


AnyRule = Rule | StackRule | ProgramRule


def kinds(*wanted: str) -> Callable[[Manifest], bool]:
    """Return what tells whether an object is of one of some kinds."""

    def of_kind(manifest: Manifest) -> bool:
        return at(manifest, "kind") in wanted

    return of_kind
