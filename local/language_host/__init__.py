"""A language host: what the Pulumi engine calls to run a program or a policy pack written in Python.

It stands in for the one that ships with a released `pulumi`, which is not to be had from a package registry. The engine
starts the executable, reads a port from its first line and calls the LanguageRuntime service there.

    __main__.py      the process: one line with the port, then serve until told to stop
    server.py        the service, one method per question the engine asks
    packages.py      which provider plugins a program needs, read from its imports
    interpreter.py   which Python runs the program, and what is installed for it
    children.py      the processes that run user code: started early, streamed, never outliving the host
    program.py       runs inside the child: the program in a stack, its errors told readably
    policy_pack.py   runs inside the child: a policy pack, served from before it is imported
    protocol.py      the engine's messages, imported without the SDK around them
"""
