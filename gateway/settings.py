"""Every setting and its default. The environment (CARAVAN_...) beats the profile's file, which beats the defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, HttpUrl
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

CONFIGS = Path("configs")
LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what listens on all addresses is reached on one
Profile = Literal["dev", "staging", "prod"]


class Settings(BaseSettings):
    """One Caravan. `database_url` and `nats_url` unset: the embedded servers in `home`."""

    model_config = SettingsConfigDict(env_prefix="CARAVAN_", extra="forbid", frozen=True)

    profile: Profile = "dev"
    home: Path = Path(".caravan")
    artifacts: Path = Path("artifacts")
    agents_file: Path = CONFIGS / "agents.yaml"

    database_url: str | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL", "database_url"))
    nats_url: str | None = Field(default=None, validation_alias=AliasChoices("NATS_URL", "nats_url"))

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

    seal_seconds: float = Field(default=2.0, ge=0.1)
    seal_key_file: Path | None = None
    seal_keyring_file: Path | None = None
    anchor_file: Path | None = None
    anchor_webhook: HttpUrl | None = None
    anchor_seconds: float = Field(default=60.0, ge=1)

    concurrent_runs: int = Field(default=6, ge=1)
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

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
