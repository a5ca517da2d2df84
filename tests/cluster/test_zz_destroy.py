"""Last of all, for it takes the platform away: `destroy` leaves nothing behind."""

from tests.cluster.conftest import Platform, eventually


def test_destroy_leaves_nothing(platform: Platform) -> None:
    platform.engine().destroy()
    listed = platform.node.kubectl("api-resources", "--verbs=list", "--output=name").split()
    left = platform.node.kubectl(
        "get",
        ",".join(sorted(set(listed) - {"events", "events.events.k8s.io"})),
        "--all-namespaces",
        "--selector=app.kubernetes.io/part-of=platform",
        "--output=name",
        "--ignore-not-found",
    )
    assert left == ""
    namespaces = platform.node.kubectl("get", "namespaces", "--output=name").split()
    assert not {"namespace/app", "namespace/data"} & set(namespaces)
    eventually("volumes are gone", lambda: platform.node.kubectl("get", "persistentvolumes", "--output=name") == "", 60)
