"""The policy pack, assembled. Nothing imports this file: the pack's constructor serves the engine and never returns."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the engine starts the pack with only this folder importable

from pulumi_policy import EnforcementLevel, PolicyPack

from policies.levels import STRICTEST
from policies.pack import policies

# The engine says which stack it is about; an analysis of a state file is about none, and is as strict as can be.
PolicyPack(
    "platform", policies(os.environ.get("PULUMI_STACK", STRICTEST)), enforcement_level=EnforcementLevel.MANDATORY
)
