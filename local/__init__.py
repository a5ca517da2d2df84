"""The embedded defaults: what stands in for a Pulumi account, a cluster and a registry on a machine that has none.

Everything here runs on the system's Python with the standard library alone, because it is what installs the rest. The
language host is the exception: it runs inside the virtual environment.
"""
