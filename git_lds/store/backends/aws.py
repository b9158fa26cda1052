"""What the files of the AWS tools say about who we are: `~/.aws/credentials` and `~/.aws/config`, which obstore does not read.

Only keys that stand there are known, and the region and endpoint beside them. How to get keys by single sign-on, by a role or
from a program is the business of the AWS tools, which can put them into the environment.
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
"""Variables that say who we are, and count before the files."""


def from_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the profile that counts adds to the environment, by obstore's names. Raises UsageError for a profile
    that was asked for and is not there, or has no keys."""
    asked = environment.get("AWS_PROFILE")
    said = _profile(environment, asked or "default")
    if asked and not said:
        raise UsageError(
            f"the files of the AWS tools have no profile {asked}",
            hint="see which there are: aws configure list-profiles",
        )
    found: dict[str, str] = {}
    if not any(environment.get(name) for name in _SOURCES):
        if "aws_access_key_id" in said and "aws_secret_access_key" in said:
            found["access_key_id"] = said["aws_access_key_id"]
            found["secret_access_key"] = said["aws_secret_access_key"]
            if "aws_session_token" in said:
                found["session_token"] = said["aws_session_token"]
        elif asked:
            raise UsageError(
                f"the profile {asked} has no keys of its own, and git-lds does not log in for it",
                hint=f'eval "$(aws configure export-credentials --profile {asked} --format env)"',
            )
    if "region" in said and not any(environment.get(name) for name in _REGIONS):
        found["region"] = said["region"]
    if "endpoint_url" in said and not any(environment.get(name) for name in ENDPOINTS):
        found["endpoint"] = said["endpoint_url"]
    return found


def _profile(environment: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the settings of a profile: those in the file of credentials count before those in the other."""
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
        pass  # none there, or no home
    except (configparser.Error, UnicodeDecodeError):
        # what the parser says would repeat lines of it
        raise UsageError(f"{path} is not written as the AWS tools write it") from None
    return parser


def _section(parser: configparser.RawConfigParser, name: str) -> dict[str, str]:
    return {key: value.strip() for key, value in parser.items(name)} if parser.has_section(name) else {}
