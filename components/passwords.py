"""Passwords nobody types: made once by the engine, kept encrypted in its state, and seen only in Secret objects."""

import pulumi
import pulumi_random as random


def password(name: str, rotation: int, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Return a password of 32 letters and digits (190 bits), safe unquoted in any URL or configuration file.

    Each `rotation` has another one. The one before is there for as long as it is asked for.
    """
    return random.RandomPassword(f"{name}-password-{rotation}", length=32, special=False, opts=opts).result


def login(name: str, rotation: int) -> str:
    """Return the name an account has in a rotation: each has one of its own, for as long as clients change from one to the next."""
    return name if rotation == 1 else f"{name}_{rotation}"
