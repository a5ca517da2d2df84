"""SecLang is read as ModSecurity and Coraza read it, where the rules look."""

import pytest

from policies.seclang import exclusions, included, is_seclang, parse, refuses, setting, variable


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        ("SecRuleEngine On", [("secruleengine", "On")]),
        ("  # SecRuleEngine Off\n\nSECRULEENGINE 'on'", [("secruleengine", "on")]),
        ('SecRule ARGS "@rx a\\"b c" "id:1"', [("secrule", "ARGS", '@rx a"b c', "id:1")]),
        ('SecAction \\\n  "id:1,\\\r\n  pass"', [("secaction", "id:1,   pass")]),
        ("", []),
    ],
)
def test_lines_are_directives_with_arguments(text: str, directives: list[tuple[str, ...]]) -> None:
    assert [(each.name, *each.arguments) for each in parse(text)] == directives


def test_actions_are_taken_apart_at_commas_outside_quotes() -> None:
    (rule,) = parse("SecRule ARGS \"@rx x\" \"id:1,Phase:2,msg:'a, allow',setvar:'tx.a=1',pass\"")
    assert rule.actions == [("id", "1"), ("phase", "2"), ("msg", "a, allow"), ("setvar", "tx.a=1"), ("pass", "")]


def test_of_what_is_set_twice_the_last_holds() -> None:
    told = parse(
        "SecRequestBodyLimit 1\nsecrequestbodylimit 2\nSecAction \"setvar:tx.level=1\"\nSecAction 'setvar:TX.level=3'"
    )
    assert setting(told, "SecRequestBodyLimit") == "2"
    assert setting(told, "SecRequestBodyAccess") == ""
    assert variable(told, "level", "other") == 3
    assert variable(told, "other") is None
    assert variable(parse('SecAction "tag:level=3"'), "level") is None
    assert setting(parse("SecRuleEngine On\nSecRuleEngine"), "SecRuleEngine") == "on"


@pytest.mark.parametrize(
    ("text", "refusing"),
    [
        ("SecRuleEngine On", True),
        ("Include @coraza.conf\nSecRuleEngine On\nInclude @owasp_crs/*.conf", True),
        ("SecRuleEngine On\nInclude @coraza.conf", False),
        ("SecRuleEngine DetectionOnly\nSecRuleEngine On", False),
        ("SecRuleEngine DetectionOnly", False),
        ("Include @owasp_crs/*.conf", False),
        ("SecRuleEngine", False),
    ],
)
def test_the_engine_refuses_only_where_nothing_may_have_turned_it_off(text: str, refusing: bool) -> None:
    assert refuses(parse(text)) is refusing


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Include @owasp_crs/*.conf", True),
        ("include /etc/modsecurity.d/owasp-crs/rules/*.conf", True),
        ("Include @owasp_crs/REQUEST-901-INITIALIZATION.conf", False),
        ("Include @crs-setup.conf", False),
        ("Include /etc/rules/*.conf", False),
        ("Include", False),
        ("SecRemoteRules @owasp_crs/*.conf", False),
    ],
)
def test_the_core_rules_are_there_if_all_their_files_are(text: str, whole: bool) -> None:
    assert included(parse(text)) is whole


@pytest.mark.parametrize(
    ("text", "wide"),
    [
        ("SecRuleRemoveById 942100 942110", 0),
        ("SecRuleRemoveById 942100,942110", 0),
        ("SecRuleRemoveById 942100-942190", 1),
        ("SecRuleRemoveById 959100", 1),
        ("SecRuleRemoveById 901100 1-2", 2),
        ("SecRuleRemoveByMsg SQL", 1),
        ("SecRuleUpdateTargetById 942100 !ARGS:q", 0),
        ('SecAction "id:1,ctl:ruleRemoveById=942100"', 0),
        ('SecAction "id:1,ctl:ruleRemoveByTag=attack-xss"', 1),
        ('SecAction "id:1,ctl:requestBodyAccess=Off"', 1),
        ('SecAction "id:1,ctl:ruleEngine=On"', 0),
        ('SecAction "id:1,skipAfter:END"', 1),
        ('SecRule ARGS "allow,ctl:ruleEngine=Off" "id:1,deny"', 0),
        ("SecMarker allow", 0),
        ("SecRuleRemoveById 948999 950000 958999 960000 900999 902000", 0),
        ("SecRuleRemoveById 949000 949999 959000 959999 901000 901999", 6),
        ("SecRule ARGS x", 0),
    ],
)
def test_what_takes_away_more_than_single_rules_is_found(text: str, wide: int) -> None:
    assert len(list(exclusions(parse(text)))) == wide


def test_other_languages_are_not_taken_for_it() -> None:
    assert is_seclang("# x\nSecRule ARGS x y")
    for text in ("", "seconds 5", "secret: a", "SecRuleEngine", "server { listen 80; }", '{"some": "header"}'):
        assert not is_seclang(text), text
