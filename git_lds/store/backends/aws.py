"""Credentials from the files of the AWS tools, `~/.aws/credentials` and `~/.aws/config`, which obstore does not read.

Only keys in these files are used, with their region and endpoint. Keys from single sign-on, a role or a program are left to
the AWS tools, which can put them into the environment.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path

from git_lds.errors import UsageError

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Variables with credentials, which take precedence over the files."""


def from_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that the active profile adds to the environment, by obstore's names.

    Raises UsageError if the requested profile does not exist or has no keys, or a file is not valid.
    """
    requested = environment.get("AWS_PROFILE")
    profile = _profile(environment, requested or "default")
    if requested and not profile:
        raise UsageError(
            f"the files of the AWS tools have no profile {requested}",
            hint="list them: aws configure list-profiles",
        )
    settings: dict[str, str] = {}
    if not any(environment.get(name) for name in _SOURCES):
        if "aws_access_key_id" in profile and "aws_secret_access_key" in profile:
            settings["access_key_id"] = profile["aws_access_key_id"]
            settings["secret_access_key"] = profile["aws_secret_access_key"]
            if "aws_session_token" in profile:
                settings["session_token"] = profile["aws_session_token"]
        elif requested:
            raise UsageError(
                f"the profile {requested} has no keys of its own, and git-lds cannot log in for it",
                hint=f'eval "$(aws configure export-credentials --profile {requested} --format env)"',
            )
    if "region" in profile and not any(environment.get(name) for name in _REGIONS):
        settings["region"] = profile["region"]
    if "endpoint_url" in profile and not any(environment.get(name) for name in ENDPOINTS):
        settings["endpoint"] = profile["endpoint_url"]
    return settings


def _profile(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the settings of a profile. The credentials file takes precedence over the config file."""
    credentials = _file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials")
    config = _file(environment, "AWS_CONFIG_FILE", "config")
    section = name if name == "default" else f"profile {name}"
    return {**_section(config, section), **_section(credentials, name)}


def _file(environment: Mapping[str, str], variable: str, name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    path = Path(environment[variable]) if environment.get(variable) else Path("~/.aws", name)
    try:
        parser.read_string(path.expanduser().read_text("utf-8"))
    except (OSError, RuntimeError):
        pass  # no such file, or no home directory
    except (configparser.Error, UnicodeDecodeError):
        # the message of the parser would quote lines of the file
        raise UsageError(f"{path} is not a valid file of the AWS tools") from None
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    return {key: value.strip() for key, value in parser.items(name)} if parser.has_section(name) else {}
