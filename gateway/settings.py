"""Every setting and its default. The environment (CARAVAN_...) beats the profile's file, which beats the defaults."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, HttpUrl, PositiveInt, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from domain.model_hosts import LOOPBACK

CONFIGS = Path("configs")
PREFIX = "CARAVAN_"
LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens on all addresses is reached on one
Profile = Literal["dev", "staging", "prod"]


class ReplicaSettings(BaseModel):
    """A model server whose adapters follow the registry. `url` ends with /v1; `key_env` names the variable, or the file
    in `secrets_dir`, with its key; `base` is its base model (None: the settings'); `root` is the folder of all
    adapters, as vLLM sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r"^https?://[^\s@]+/v1/?$")
    kind: Literal["embedded", "vllm"]
    key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]{0,99}_API_KEY$")
    base: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    root: str | None = None

    @model_validator(mode="after")
    def _vllm_is_told_where_adapters_are(self) -> Self:
        if self.kind == "vllm" and not self.root:
            raise ValueError("vllm needs `root`: the folder of all adapters, as that server sees it")
        return self


def _each_once(replicas: list[ReplicaSettings]) -> list[ReplicaSettings]:
    """Two who kept one server in step would undo each other's work."""
    urls = [replica.url.rstrip("/") for replica in replicas]
    if twice := {url for url in urls if urls.count(url) > 1}:
        raise ValueError(f"there are two entries for {', '.join(sorted(twice))}; one server takes one")
    return replicas


class Settings(BaseSettings):
    """One Caravan. `database_url` and `nats_url` unset: the embedded servers in `home`.
    `console_nats_url`: NATS in the console's own account; without it, the console keeps its sessions in its memory.
    `promote_win_rate` unset: no adapter is promoted but by hand."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    profile: Profile = "dev"
    home: Path = Path(".caravan")
    artifacts: Path = Path("artifacts")
    agents_file: Path = CONFIGS / "agents.yaml"
    agents_sync: Literal["off", "watch", "both"] = "watch"

    database_url: str | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    nats_url: str | None = Field(default=None, validation_alias=AliasChoices("NATS_URL", "nats_url"))

    console_nats_url: str | None = None

    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, le=65535)
    ui_port: int = Field(default=8501, ge=0, le=65535)
    model_port: int = Field(default=8402, ge=0, le=65535)
    nats_port: int = Field(default=8422, ge=0, le=65535)

    token: str | None = None
    model_url: str | None = None
    model_key: str | None = None
    base_model: str = "smollm2-135m-instruct"
    model_threads: int = Field(default=2, ge=1)
    dataset_processes: PositiveInt = min(os.cpu_count() or 1, 4)
    replicas: Annotated[list[ReplicaSettings], AfterValidator(_each_once)] = []

    seal_seconds: float = Field(default=2.0, ge=0.1)
    seal_key_file: Path | None = None
    seal_keyring_file: Path | None = None
    anchor_file: Path | None = None
    anchor_webhook: HttpUrl | None = None
    anchor_seconds: float = Field(default=60.0, ge=1)

    model_hosts: str = LOOPBACK
    secrets_dir: Path | None = None
    mcp_servers: Path | None = None
    tool_seconds: float = Field(default=60.0, gt=0)

    concurrent_runs: int = Field(default=6, ge=1)
    concurrent_calls: int = Field(default=8, ge=1)
    drain_seconds: float = Field(default=10.0, ge=0)
    live_text: bool = True
    concurrent_jobs: dict[str, PositiveInt] = {}
    schedules: dict[str, str] = {}
    promote_win_rate: float | None = Field(default=None, ge=0, le=1)
    promote_gain: float = Field(default=0.0, ge=-1, le=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    max_import_bytes: int = Field(default=268_435_456, ge=1024)
    otlp_endpoint: HttpUrl | None = Field(
        default=None,
        validation_alias=AliasChoices("CARAVAN_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
    )
    sentry_dsn: str | None = Field(default=None, repr=False)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_rotate_mb: float = Field(default=10, gt=0)
    log_keep_days: float = Field(default=30, ge=0)
    log_keep_mb: float = Field(default=500, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments beat the environment, which beats the profile's file `configs/<profile>.yaml`."""
        profile = os.environ.get("CARAVAN_PROFILE", "dev")
        file = YamlConfigSettingsSource(settings_cls, yaml_file=CONFIGS / f"{profile}.yaml")
        return init_settings, env_settings, file

    @property
    def api_url(self) -> str:
        """Where this machine's own processes reach the gateway."""
        host = LOOPBACKS.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def embedded_model_url(self) -> str:
        """The OpenAI-compatible endpoint of the embedded model, or the one given in its place."""
        return self.model_url or f"http://127.0.0.1:{self.model_port}/v1"

    @property
    def served_by(self) -> list[ReplicaSettings]:
        """The model servers to be kept in step: this machine's own, where neither others are named nor another endpoint
        is in its place, of which nobody knows whether it takes adapters."""
        ours = [] if self.model_url else [ReplicaSettings(url=self.embedded_model_url, kind="embedded")]
        return self.replicas or ours

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def base_model_dir(self) -> Path:
        return self.home / "models" / self.base_model

    @property
    def seal_key(self) -> Path:
        """The private key that seals are signed with."""
        return self.seal_key_file or self.home / "seal-key"

    @property
    def seal_keyring(self) -> Path:
        """The public keys of all seals."""
        return self.seal_keyring_file or self.home / "seal-keys.pem"

    @property
    def anchors(self) -> Path:
        """Where seals are written down outside of the database."""
        return self.anchor_file or self.home / "anchors.jsonl"

    @property
    def lora_adapters(self) -> Path:
        return self.artifacts / "adapters"

    @property
    def datasets(self) -> Path:
        return self.artifacts / "datasets"


def misspelt(variables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Those that are no setting but look like one, each with that setting. Others that begin with CARAVAN_ are let be:
    keys of model servers, or somebody's own."""
    settings = [_variable(name) for name in Settings.model_fields]
    for variable in sorted(variables):
        bare = variable.removeprefix(PREFIX)
        if not variable.startswith(PREFIX) or variable in settings or variable.endswith("_API_KEY"):
            continue
        if bare in settings:
            yield variable, bare
        else:
            for meant in get_close_matches(variable, settings, n=1, cutoff=0.87):
                yield variable, meant


def _variable(field: str) -> str:
    alias = Settings.model_fields[field].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else PREFIX + field.upper()
