"""The Pulumi engine, run for one stack: its environment, its state, and the verbs.

engine.py      Engine: preview, up, drift, destroy, outputs, render
cluster.py     which Kubernetes is meant, and whether it answers
home.py        the environment of every call: executables, plugins, backend, passphrase
stackfile.py   a stack's settings, with what only this machine knows added, in a copy
recovery.py    what an interrupted run left behind, put right
failures.py    why a preview or an `up` failed, where the engine's own words do not say it
foreground.py  a command run as if the user had
manifests.py   runs inside the virtual environment: a preview's plan, written as one YAML file per object
"""

from local.engine.cluster import Cluster
from local.engine.engine import Engine
from local.engine.home import users_own

__all__ = ["Cluster", "Engine", "users_own"]
