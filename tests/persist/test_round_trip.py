from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings

from bascule.model.dialects import persistent
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.vlans import ADDS_VLANS_ALONE, without_default_vlan
from tests.persist.configs import configs, recipe

EXAMPLES = 1000 if os.environ.get("BASCULE_SOAK") else 40
LIMITS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", persistent())
@LIMITS
@given(config=configs())
def test_what_is_rendered_is_parsed_back_or_named_as_a_gap(name: str, config: NetworkConfig) -> None:
    try:
        files = dialect(name).render(config)
    except Inexpressible as gap:
        assert all(name in problem.message for problem in gap.problems)
        return
    parsed = dialect(name).parse(files)
    assert parsed.left == ()
    said = (
        without_default_vlan(config) if name in ADDS_VLANS_ALONE else config
    )  # the same VLANs, every one of them said
    assert parsed.config == said


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", persistent())
@LIMITS
@given(config=configs(rich=False))
def test_rendering_is_stable(name: str, config: NetworkConfig) -> None:
    try:
        files = dialect(name).render(config)
    except Inexpressible:
        return
    assert dialect(name).render(dialect(name).parse(files).config) == files


@pytest.mark.parametrize("name", persistent())
def test_every_dialect_says_the_production_scenario(name: str) -> None:
    parsed = dialect(name).parse(dialect(name).render(recipe()))
    assert parsed.left == ()
    assert parsed.config == recipe()
