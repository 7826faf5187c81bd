"""The source's 18 claims as typed rows: `data/claims.csv`, which notebooks 00 and 08 read."""

import csv
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CLAIMS = Path(__file__).resolve().parents[2] / "data" / "claims.csv"


class Claim(BaseModel):
    """One claim: the source's own words and check, and what the workbook does about it.

    `conflict` says in one sentence what the claim contradicts; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1, le=18)
    text: str = Field(min_length=10)
    source_verified: bool
    source_confidence: float = Field(ge=0, le=1)
    kind: Literal["recipe", "speed", "result", "context"]
    notebook: str = Field(pattern=r"^\d\d$")
    here: str = Field(min_length=5)
    conflict: str = ""


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """All claims in order. Raises ValueError when numbers are not 1, 2, 3, ... or a row is malformed."""
    with path.open(encoding="utf-8", newline="") as file:
        claims = [Claim.model_validate(row) for row in csv.DictReader(file)]
    if [claim.number for claim in claims] != list(range(1, len(claims) + 1)):
        raise ValueError(f"{path}: claims must be numbered from 1 without gaps")
    return claims
