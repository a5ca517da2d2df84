"""JUnit, for a CI's list of tests: a suite for each box, a case for each rule.

A rule with nothing to judge is skipped, and so is one of which each breach is exempted: neither has passed.
"""

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from policies import links
from policies.boxes import BOXES
from policies.formats.lines import told
from policies.rule import Described
from policies.verdict import Breach, Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(verdict: Verdict) -> str:
    """Return the suites, in the order of the diagram; a box without any rule has an empty one."""
    root = Element("testsuites", name=f"policies of {verdict.stack}")
    for box, described in BOXES.items():
        suite = SubElement(root, "testsuite", name=described.title)
        for rule in verdict.rules:
            if rule.box == box:
                case = SubElement(suite, "testcase", classname=f"{verdict.stack}.{box}", name=rule.name, time="0")
                _told(case, rule, verdict)
        _counted(suite, suite)
    _counted(root, root)
    indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _told(case: Element, rule: Described, verdict: Verdict) -> None:
    breaches = verdict.of(rule)
    refusing = [breach for breach in breaches if breach.refuses]
    others = [breach for breach in breaches if not breach.refuses]
    if refusing:
        message = f"{len(refusing)} breaches of: {rule.description}"
        SubElement(case, "failure", message=message, type=rule.severity).text = _lines(refusing, links.address(rule))
    elif verdict.levels[rule.name] == "disabled":
        SubElement(case, "skipped", message="disabled for this stack")
    elif not verdict.judged[rule.name]:
        SubElement(case, "skipped", message="no object of the stack is what it is about")
    elif others and all(breach.exemption for breach in others):
        SubElement(case, "skipped", message="each breach is exempted")
    if others:
        SubElement(case, "system-out").text = _lines(others, "allowed for this stack")


def _lines(breaches: Sequence[Breach], last: str) -> str:
    return _NOT_XML.sub("\ufffd", "\n".join([*(told(breach) for breach in breaches), last]))


def _counted(element: Element, within: Element) -> None:
    for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(count, str(sum(1 for _found in within.iter(tag))))
    element.set("time", "0")
