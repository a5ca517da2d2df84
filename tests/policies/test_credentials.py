"""What looks like a credential, and what only reads like one."""

import pytest

from policies import credentials


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "db_password",
        "apiKey",
        "spring.api-key",
        "S3_SECRET",
        "githubToken",
        "X_PWD",
        "APIKey",
        "apiKEY",
        "access/key",
    ],
)
def test_a_name_that_ends_in_a_credential_is_one_of_a_credential(name: str) -> None:
    assert credentials.named(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "PASSWORD_FILE",
        "password_encryption",
        "secretName",
        "bypass",
        "key",
        "sort-key",
        "tokens",
        "PASSWORD2",
        "PRIVATEKEY",
    ],
)
def test_a_name_that_goes_on_is_of_something_else(name: str) -> None:
    assert not credentials.named(name)


@pytest.mark.parametrize(
    "value", ["", "$(PASSWORD)", "${X}", "{{ .Values.a }}", "<secret>", "/etc/a", "./a", "true", "none", "30", "|-"]
)
def test_what_holds_no_credential_is_none_by_its_name(value: str) -> None:
    assert credentials.credential("PASSWORD", value) == ""


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "postgres://a:b@host/db",
        "redis://:b@host",
        "say https://a:$x4!@host",
        "id AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.sig",
        "Authorization: Bearer abcdefgh12345678",
    ],
)
def test_shapes_are_found_wherever_they_are(text: str) -> None:
    assert credentials.shape(text)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----",
        "postgres://host:5432/db",
        "postgres://$(USER):$(PASSWORD)@host",
        "mailto:a@host",
        "http://host/a:b@c",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "postgres-instances.data.svc.cluster.local",
        "basic authentication",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA1",
    ],
)
def test_what_only_resembles_them_is_left_alone(text: str) -> None:
    assert credentials.shape(text) == ""


@pytest.mark.parametrize("text", ["--password=x1", "-v --password x", "tool -token 'abc'", 'a --api-key "abc" b'])
def test_an_option_hands_over_a_credential(text: str) -> None:
    assert credentials.in_command(text)


@pytest.mark.parametrize(
    "text", ["--password=$P", "--password", "--password-file=x", 'a --token="$(cat /t)"', "x--password=y"]
)
def test_an_option_that_hands_over_no_word_of_its_own_is_none(text: str) -> None:
    assert credentials.in_command(text) == ""
