"""The claims are the source's: its numbers, its own checks, its contradictions."""

import csv

import pytest

from cinelib.claims.source import CLAIMS, read_claims


def test_the_18_claims_and_the_sources_own_checks():
    claims = read_claims()
    assert len(claims) == 18
    assert [claim.number for claim in claims if claim.source_verified] == [11, 12, 13, 15]
    assert max(claim.source_confidence for claim in claims) == 0.22
    assert [claim.number for claim in claims if claim.conflict] == [4, 7, 9, 10]
    assert all(claim.notebook <= "08" for claim in claims)


def test_damage_is_refused(tmp_path):
    with CLAIMS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def write(changed):
        path = tmp_path / "claims.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys())
            table.writeheader()
            table.writerows(changed)
        return path

    assert read_claims(write(rows)) == read_claims()
    with pytest.raises(ValueError, match="without gaps"):
        read_claims(write(rows[1:]))
    with pytest.raises(ValueError, match="source_confidence"):
        read_claims(write([{**rows[0], "source_confidence": "2"}]))
