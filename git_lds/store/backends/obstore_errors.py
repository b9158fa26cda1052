"""Translates errors of obstore. Only a status and a code of their text are passed on: the rest may quote credentials."""

from __future__ import annotations

import re

from git_lds.errors import CorruptData, LdsError, NotAllowed, NotInStore, StoreUnreachable
from git_lds.store.backends import retry
from git_lds.store.backends.contract import NoPutIfAbsent

LOGIN_HINTS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or run: gcloud auth application-default login",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_USE_AZURE_CLI=true after: az login",
}
_REGION_HINT = "set AWS_REGION to the region of the bucket"

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_METADATA = re.compile(r"/latest/(?:api/token|meta-data)|/computeMetadata/|/metadata/identity/")
"""URLs where a cloud machine looks up its own credentials. obstore asks there when no credentials are set."""
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_OTHER_REGION = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect")
_TRANSIENT = ("RequestTimeout", "SlowDown", "ConditionalRequestConflict", "OperationAborted")
_TRANSIENT_STATUS = (408, 429, 500, 502, 503, 504)


class TransientFailure(StoreUnreachable):
    """A failure after which a retry may help. `cost` is the number of tries that it takes."""

    def __init__(self, message: str, *, cost: int = 1) -> None:
        super().__init__(message, retry.AGAIN)
        self.cost = cost


def no_bucket(bucket: str) -> NotAllowed:
    """Return the error for a bucket that does not exist."""
    return NotAllowed(f"there is no bucket {bucket}", "create it, or check its name and the endpoint")


def is_transient_code(error: Exception) -> bool:
    """Return whether the store answered with an error code after which a retry may help."""
    return _code(error) in _TRANSIENT


def translated(error: Exception, bucket: str, scheme: str) -> LdsError:
    """Return what an error of obstore means for `bucket`, whose URL begins with `scheme`."""
    text, code = str(error), _code(error)
    match = _STATUS.search(text)
    status = int(match[1]) if match else None
    if code in _NO_BUCKET:
        return no_bucket(bucket)
    if _METADATA.search(text):
        return NotAllowed(f"{bucket}: there are no credentials for it", LOGIN_HINTS[scheme])
    if isinstance(error, FileNotFoundError):
        return NotInStore(f"not in {bucket}")
    if isinstance(error, NotImplementedError) or status == 501:
        return NoPutIfAbsent(f"{bucket} has no put-if-absent")
    if "Received redirect" in text or code in _OTHER_REGION:
        return NotAllowed(f"{bucket} is in another region", _REGION_HINT)
    answer = f"{status}, {code}" if code else str(status)
    if status in _TRANSIENT_STATUS or code in _TRANSIENT:
        return TransientFailure(f"{bucket} answered {answer}")
    if status == 416:
        return CorruptData("fewer bytes than were requested")
    if status in (401, 403):
        return NotAllowed(
            f"{bucket} refused access ({answer})", f"check your permissions, or your credentials: {LOGIN_HINTS[scheme]}"
        )
    if status is not None:
        return NotAllowed(f"{bucket} refused the request ({answer})")
    return _translated_connection_error(text, bucket, scheme)


def _translated_connection_error(text: str, bucket: str, scheme: str) -> LdsError:
    """Return the error for a request that got no answer, or only a part of one."""
    if "invalid peer certificate" in text or "CertificateError" in text:
        return StoreUnreachable(f"{bucket}: its certificate is not trusted")
    if "kind: Timeout" in text or "TimedOut" in text:
        return TransientFailure(f"{bucket} did not answer in time", cost=retry.SILENCE_COSTS)
    if "dns error" in text:
        return TransientFailure(f"{bucket} could not be reached: its host name does not resolve")
    if "HTTP error" in text:
        return TransientFailure(f"{bucket} could not be reached, or the connection broke off")
    if "Missing" in text:
        return NotAllowed(f"{bucket}: its credentials are incomplete", LOGIN_HINTS[scheme])
    return StoreUnreachable(f"{bucket}: unexpected response")


def _code(error: Exception) -> str | None:
    """Return the error code in the answer of the store that `error` quotes."""
    match = _CODE.search(str(error))
    return match[1] if match else None
