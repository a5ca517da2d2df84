"""The verbs behind the Makefile: `python3 -m local VERB --help`."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from local import verbs
from local.problem import Problem

Action = Callable[[argparse.Namespace], int | None]


def main() -> int:
    """Run one verb; a Problem is printed without a traceback and ends with exit code 1."""
    arguments = _parser().parse_args()
    action: Action = arguments.action
    try:
        return action(arguments) or 0
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m local", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, described: object, action: Action) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=(described.__doc__ or "").splitlines()[0])
        added.set_defaults(action=action)
        return added

    for name, on_stack in verbs.STACK_VERBS.items():
        _target(verb(name, on_stack, _on_target(on_stack)))
    restore = verb("restore", verbs.restore, lambda given: verbs.restore(_meant(given), given.to))
    restore.add_argument("--to", required=True, help="a time with its zone, as 2026-11-26T01:00:00+00:00, or newest")
    _target(restore)
    verb("packages", verbs.packages, _packages)
    verb("logs", verbs.logs, _logs).add_argument("component")
    verb("run", verbs.run, _run).add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _target(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--stack", default="dev", help="the stack, as in Pulumi.STACK.yaml (default: dev)")
    verb.add_argument("--context", default="", help="a context of your kubeconfig; without one, a node on this machine")


def _meant(given: argparse.Namespace) -> verbs.Target:
    return verbs.Target(stack=given.stack, context=given.context or None)


def _on_target(on_stack: Callable[[verbs.Target], int | None]) -> Action:
    return lambda given: on_stack(_meant(given))


def _packages(_given: argparse.Namespace) -> None:
    verbs.packages()


def _logs(given: argparse.Namespace) -> None:
    verbs.logs(given.component)


def _run(given: argparse.Namespace) -> int:
    return verbs.run(given.command)


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main())
