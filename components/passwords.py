"""Passwords nobody types: made once by the engine, kept encrypted in its state, and seen only in Secret objects."""

import pulumi
import pulumi_random as random


def password(name: str, rotation: int, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Return a password of 32 letters and digits (190 bits), safe unquoted in any URL or configuration file.

    Each `rotation` has another one. The one before is there for as long as it is asked for.
    """
    return random.RandomPassword(f"{name}-password-{rotation}", length=32, special=False, opts=opts).result
