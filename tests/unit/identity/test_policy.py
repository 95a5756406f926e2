"""Policies: what their values may look like."""

from pathlib import Path

import pytest

from occlum_build.identity.policy import PolicyError, read_policy

DIGITS = "1234567890" * 6 + "1234"


def test_a_hash_without_a_letter_is_a_hash() -> None:
    text = f"version: 1\nmrsigner: [{DIGITS}]\nkss: {{family_id: {DIGITS[:32]}}}\n"

    policy = read_policy(Path("policy.yaml"), text)

    assert policy.mrsigner == (DIGITS,)
    assert policy.kss.family_id == DIGITS[:32]


def test_a_number_of_another_length_is_no_hash() -> None:
    with pytest.raises(PolicyError) as refused:
        read_policy(Path("policy.yaml"), "version: 1\nmrenclave: [12]\n")

    assert "this is not 64 hexadecimal digits" in refused.value.diagnostics[0].message


@pytest.mark.parametrize("text", ["!!python/tuple [1]\n", "version: !!python/tuple [1]\n"])
def test_a_tag_is_refused_once(text: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_policy(Path("policy.yaml"), text)

    assert [one.code for one in refused.value.diagnostics] == ["OB0203"]
