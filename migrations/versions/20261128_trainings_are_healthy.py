"""Show how trainings do, what they go on from, and options by the names that TRL and PEFT give them.

What was trained before was measured less, began with the base model, and drew pairs as often as they weigh: so their
events' upcasters say, and the rows do. A downgrade gives the old names back, and leaves out what is new.

Revision: 0018
Follows: 0017
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MEASURES = (
    *("rewards_chosen", "rewards_rejected", "logps_chosen", "logps_rejected", "chosen_shift", "kl", "entropy"),
    *("grad_norm", "learning_rate", "truncated", "chosen_length", "length_lead", "length_correlation"),
)
RENAMED = {
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "gradient_accumulation": "gradient_accumulation_steps",
    "lora_rank": "r",
    "loss": "loss_type",
}
NEW_OPTIONS = {
    "num_train_epochs": 1.0,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "label_smoothing": 0.0,
    "precompute_ref_log_probs": True,
    "gradient_checkpointing": False,
    "use_rslora": False,
    "num_processes": 1,
    "early_stop": [],
}
NEW_IN_PASSPORTS = {"start_from": None, "steps": None, "stopped_by": None, "weighting": "sampling/1"}

NAME_OPTIONS_OF_RUNS = """
UPDATE training_runs SET config = CAST(:new AS jsonb) || (
    SELECT jsonb_object_agg(coalesce(CAST(:names AS jsonb)->>key, key), value)
    FROM jsonb_each(config - CAST(:gone AS text[]))
)
"""
NAME_OPTIONS_IN_PASSPORTS = """
UPDATE lora_adapters SET passport = passport || jsonb_build_object('config', CAST(:new AS jsonb) || (
    SELECT jsonb_object_agg(coalesce(CAST(:names AS jsonb)->>key, key), value)
    FROM jsonb_each((passport->'config') - CAST(:gone AS text[]))
))
"""
ADD_TO_PASSPORTS = "UPDATE lora_adapters SET passport = passport || CAST(:new AS jsonb)"
TAKE_FROM_PASSPORTS = "UPDATE lora_adapters SET passport = passport - CAST(:gone AS text[])"


def upgrade() -> None:
    for name in MEASURES:
        op.add_column("training_metrics", sa.Column(name, sa.Double(), nullable=True))
    op.add_column(
        "training_runs",
        sa.Column("start_from", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    )
    op.add_column("training_runs", sa.Column("stopped_by", sa.Text(), nullable=True))
    _name_options(RENAMED, new=NEW_OPTIONS)
    op.execute(sa.text(ADD_TO_PASSPORTS).bindparams(new=json.dumps(NEW_IN_PASSPORTS)))


def downgrade() -> None:
    op.execute(sa.text(TAKE_FROM_PASSPORTS).bindparams(gone=list(NEW_IN_PASSPORTS)))
    _name_options({new: old for old, new in RENAMED.items()}, gone=NEW_OPTIONS)
    op.drop_column("training_runs", "stopped_by")
    op.drop_column("training_runs", "start_from")
    for name in reversed(MEASURES):
        op.drop_column("training_metrics", name)


def _name_options(names: Mapping[str, str], new: Mapping[str, Any] = {}, gone: Iterable[str] = ()) -> None:
    for statement in (NAME_OPTIONS_OF_RUNS, NAME_OPTIONS_IN_PASSPORTS):
        given = {"names": json.dumps(names), "new": json.dumps(new), "gone": list(gone)}
        op.execute(sa.text(statement).bindparams(**given))
