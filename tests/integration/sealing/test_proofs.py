"""What is sealed can be proven to somebody who has the public key alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.event_store import PostgresEventStore
from adapters.sealing.proofs import Proofs
from adapters.sealing.sealer import Sealer
from adapters.sealing.tiles import TreeDamaged
from deploy import verify_proof
from domain.errors import Invalid, NotFound, NotReady
from gateway.bootstrap import open_engine
from tests import story
from tests.conftest import new_database
from tests.integration.sealing.conftest import all_seals, one_more, seal_in_batches, tell


@dataclass(frozen=True)
class SealedLog:
    """The story in seals of ten events, only to be read."""

    engine: Engine
    keyring: Path
    head: int

    @property
    def proofs(self) -> Proofs:
        return Proofs(self.engine)


@pytest.fixture(scope="module")
def sealed(
    embedded_postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SealedLog]:
    folder = tmp_path_factory.mktemp("sealed")
    with new_database(embedded_postgres, template) as url:
        store, engine = PostgresEventStore(url), open_engine(url)
        head = tell(store)
        store.close()
        seal_in_batches(Sealer(engine, folder / "key", folder / "keyring"), 10)
        yield SealedLog(engine, folder / "keyring", head)
        engine.dispose()


def test_every_event_can_be_proven_with_the_public_key_alone(sealed: SealedLog):
    pems = sealed.keyring.read_bytes()
    for position in range(1, sealed.head + 1):
        said = verify_proof.check(sealed.proofs.of_event(position), pems)
        assert f"at position {position} of the log" in said
        assert said.endswith("the data is what was recorded")
    bare = sealed.proofs.of_event(3, seal=1, with_data=False)
    assert verify_proof.check(bare, pems).endswith("not part of the proof")


def test_every_seal_is_proven_to_begin_with_each_before_it(sealed: SealedLog):
    pems = sealed.keyring.read_bytes()
    numbers = [seal.number for seal in all_seals(sealed.engine)]
    for first in numbers:
        for second in numbers[first - 1 :]:
            assert verify_proof.check(sealed.proofs.of_consistency(first, second), pems).endswith("and more")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("event", "actor_subject"), "eve"),
        (("event", "position"), 6),
        (("leaf_index",), 5),
        (("audit_path",), []),
        (("data",), "{}"),
        (("salt",), None),
        (("seal", "root"), "00" * 32),
        (("seal", "sealed_at"), "2020-01-01T00:00:00.000000+00:00"),
        (("seal", "signature"), "00" * 64),
        (("seal", "signature"), "no hex"),
        (("format",), "caravan-inclusion/9"),
    ],
)
def test_a_changed_proof_proves_nothing(sealed: SealedLog, tmp_path: Path, place: tuple[str, ...], value: object):
    proof: dict[str, Any] = sealed.proofs.of_event(5)
    *path, last = place
    inner = proof
    for name in path:
        inner = inner[name]
    inner[last] = value
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    assert verify_proof.main([str(tmp_path / "proof.json"), str(sealed.keyring)]) == 1


def test_the_verifier_stands_alone(sealed: SealedLog, tmp_path: Path):
    (tmp_path / "verify.py").write_bytes(Path(str(verify_proof.__file__)).read_bytes())
    (tmp_path / "proof.json").write_text(json.dumps(sealed.proofs.of_event(5)))
    command = [sys.executable, "-I", "verify.py", "proof.json", str(sealed.keyring)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("PROVEN: event ")


def test_what_cannot_be_proven_is_refused_in_a_sentence(sealed: SealedLog):
    with pytest.raises(NotFound):
        sealed.proofs.of_event(sealed.head + 1)
    with pytest.raises(NotFound, match="seal 99"):
        sealed.proofs.of_event(1, seal=99)
    with pytest.raises(Invalid, match="older than the event"):
        sealed.proofs.of_event(sealed.head, seal=1)
    with pytest.raises(Invalid, match="older one first"):
        sealed.proofs.of_consistency(2, 1)


def test_what_is_not_sealed_yet_or_was_changed_cannot_be_proven(
    store: PostgresEventStore, engine: Engine, sealer: Sealer
):
    tell(store)
    sealer.seal_all()
    late = store.session(story.ENVELOPE).save(one_more()).position
    with pytest.raises(NotReady):
        Proofs(engine).of_event(late)
    with engine.begin() as db:
        db.exec_driver_sql("UPDATE stored_events SET actor_subject = 'eve' WHERE notification_id = 5")
    with pytest.raises(TreeDamaged, match="`caravan audit verify`"):
        Proofs(engine).of_event(5)
