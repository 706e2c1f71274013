"""`headrace doctor`: the object store and the local folders of the lake, by the writes that the lake itself relies on.

A commit relies on conditional writes: of many writers of one name exactly one wins. So a probe object is written with that condition,
read, written again (which must be refused) and deleted. A folder is asked for the same with hard links. Nothing stays.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from headrace_cli.finding import ANSWER_SECONDS, Check
from headrace_lake.errors import HeadraceError
from headrace_lake.settings import S3Settings, Settings

MIN_DISK_GB = 3.0
"""The lake, checkpoints and logs of `make poc` take about 1; the rest is room for Ray's object spilling."""
MAX_SKEW_SECONDS = 300.0
"""S3 refuses requests whose clock is 15 minutes off."""
PROBE = ".headrace-doctor-"

# Code of S3's answer → (setting, what it means, way out).
_ANSWERS = {
    "NoSuchBucket": ("lake.root", "bucket '{bucket}' does not exist", "create the bucket, or correct lake.root"),
    "InvalidAccessKeyId": ("lake.s3.access_key", "the store does not know this access key", "correct what lake.s3.access_key refers to"),
    "SignatureDoesNotMatch": (
        "lake.s3.secret_key",
        "the store refuses the signature: the secret does not belong to the access key",
        "correct what lake.s3.secret_key refers to",
    ),
    "AccessDenied": (
        "lake.s3.access_key",
        "this key may not do that in bucket '{bucket}'",
        "grant it list, read, write and delete below lake.root",
    ),
    "AuthorizationHeaderMalformed": ("lake.s3.region", "the store expects another region than '{region}'", "correct lake.s3.region"),
    "PermanentRedirect": ("lake.s3.region", "the bucket lies in another region than '{region}'", "correct lake.s3.region and endpoint"),
    "IllegalLocationConstraintException": ("lake.s3.region", "the bucket lies in another region than '{region}'", "correct lake.s3.region"),
    "RequestTimeTooSkewed": ("", "this machine's clock is too far from the store's", "set the clock (NTP)"),
}


def object_store(settings: Settings) -> Iterator[Check]:
    """What the store answers to the lake's own kinds of requests."""
    s3 = settings.lake.s3
    assert s3 is not None
    bucket, _, prefix = settings.lake.root.removeprefix("s3://").partition("/")
    try:
        access, secret = s3.access_key.reveal(), s3.secret_key.reveal()
    except (HeadraceError, ValueError):
        return  # told with the secrets
    if not (access and secret):
        return
    client = _client(s3, access, secret)
    key = f"{prefix.strip('/')}/{PROBE}{secrets.token_hex(8)}".lstrip("/")
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        yield from _clock(answer)
        yield _conditional_write(client, bucket, key, settings.lake.root)
    except ClientError as exc:
        yield _refusal(exc.response, bucket, s3)
    except BotoCoreError as exc:
        yield _unreachable(exc, s3)


def _client(s3: S3Settings, access: str, secret: str) -> Any:
    import botocore.session
    from botocore.config import Config

    limits = Config(
        connect_timeout=ANSWER_SECONDS / 2,
        read_timeout=ANSWER_SECONDS / 2,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
    )
    session = botocore.session.Session()
    return session.create_client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=limits,
    )


def _conditional_write(client: Any, bucket: str, key: str, root: str) -> Check:
    """Write once, read, write once more, delete."""
    from botocore.exceptions import BotoCoreError, ClientError

    body = secrets.token_bytes(64)
    try:
        client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
        if client.get_object(Bucket=bucket, Key=key)["Body"].read() != body:
            return Check("object store", "missing", f"{root}: what was written is read otherwise", "use another store", "lake.s3.endpoint")
        try:
            client.put_object(Bucket=bucket, Key=key, Body=b"a second writer", IfNoneMatch="*")
        except ClientError as exc:
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                raise
            return Check("object store", "ok", f"{root}: lists, writes once, reads, refuses a second writer, deletes")
        return Check(
            "object store",
            "missing",
            f"{root}: the store ignores 'If-None-Match: *', so two writers of one object would both believe that they won",
            "use a store that honours conditional writes",
            "lake.s3.endpoint",
        )
    finally:
        with suppress(ClientError, BotoCoreError):
            client.delete_object(Bucket=bucket, Key=key)


def _refusal(response: Any, bucket: str, s3: S3Settings) -> Check:
    error = response.get("Error", {})
    code, status = str(error.get("Code", "")), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _ANSWERS:
        setting, what, way_out = _ANSWERS[code]
        region = f"; it names '{error['Region']}'" if error.get("Region") else ""
        found = what.format(bucket=bucket, region=s3.region) + region
        return Check("object store", "missing", f"{s3.endpoint}: {found}", way_out, setting)
    if not code or code.isdigit():  # botocore's own, where the body was not S3's XML
        what = f"{s3.endpoint} does not answer as an S3 store (status {status})"
        return Check("object store", "missing", what, "correct lake.s3.endpoint", "lake.s3.endpoint")
    said = " ".join(str(error.get("Message") or "").split())[:200]
    way_out = "check that lake.s3.endpoint is the address of an S3 store"
    return Check("object store", "missing", f"{s3.endpoint} answers {status} {code}: {said}".rstrip(": "), way_out, "lake.s3.endpoint")


def _unreachable(exc: Exception, s3: S3Settings) -> Check:
    from botocore.exceptions import SSLError

    words = " ".join(str(exc).split())[:250]
    if isinstance(exc, SSLError):
        way_out = "check the certificate, or write http:// if the store speaks no TLS"
        return Check("object store", "missing", f"{s3.endpoint}: no TLS connection: {words}", way_out, "lake.s3.endpoint")
    if "parse" in type(exc).__name__.lower():
        return Check(
            "object store", "missing", f"{s3.endpoint} does not answer as an S3 store", "correct lake.s3.endpoint", "lake.s3.endpoint"
        )
    way_out = "start the object store, or correct lake.s3.endpoint"
    return Check("object store", "missing", f"{s3.endpoint} does not answer: {words}", way_out, "lake.s3.endpoint")


def _clock(answer: Any) -> Iterator[Check]:
    said = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if not said:
        return
    with suppress(ValueError, TypeError):
        skew = abs(parsedate_to_datetime(said).timestamp() - time.time())
        if skew > MAX_SKEW_SECONDS:
            yield Check("clock", "optional", f"{skew:.0f} s from the object store's; S3 refuses at 900 s", "set the clock (NTP)")


# -- folders ---------------------------------------------------------------------------------------------------------------


def existing(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def lake_folder(settings: Settings) -> Check:
    """A local lake: its folder takes files, and of two writers of one name one wins."""
    wanted = settings.resolve(settings.lake.root)
    where = existing(wanted)
    if not where.is_dir():
        return Check("lake", "missing", f"{where} is a file, not a folder", "point lake.root elsewhere", "lake.root")
    problem = _cannot_write(where) if where == wanted.absolute() else _not_permitted(where)
    if problem:
        return Check("lake", "missing", f"{where}: {problem}", "correct its owner, or point lake.root elsewhere", "lake.root")
    return Check("lake", "ok", f"{wanted}{'' if where == wanted.absolute() else ' (not there yet: the first crawl makes it)'}")


def runs_folder(settings: Settings) -> Iterator[Check]:
    """Disk below the `runs` folder, and whether it may be written."""
    wanted = settings.resolve(settings.runs)
    where = existing(wanted)
    problem = "is a file, not a folder" if not where.is_dir() else _not_permitted(where)
    if problem:
        yield Check("runs", "missing", f"{where}: {problem}", "correct its owner, or point runs elsewhere", "runs")
    free = shutil.disk_usage(where).free / 1e9
    if free >= MIN_DISK_GB:
        yield Check("disk", "ok", f"{free:.0f} GB free at {where}")
    else:
        way_out = f"free {MIN_DISK_GB:g} GB, or point `runs` and `lake.root` elsewhere"
        yield Check("disk", "missing", f"{free:.1f} GB free at {where}", way_out, "runs")


def _not_permitted(folder: Path) -> str:
    return "" if os.access(folder, os.W_OK | os.X_OK) else "is not writable for you"


def _cannot_write(folder: Path) -> str:
    """Why the folder does not do for a lake: a probe file is written, linked as a commit links it, and removed."""
    first, second = (folder / f"{PROBE}{secrets.token_hex(8)}" for _ in range(2))
    try:
        with open(first, "xb") as file:
            file.write(b"headrace doctor\n")
            os.fsync(file.fileno())
        try:
            os.link(first, second)
        except OSError as exc:
            return f"this file system makes no hard links ({exc.strerror}), by which one of two writers wins"
        with suppress(FileExistsError):
            os.link(first, second)
            return "this file system lets two writers of one name both win"
        return ""
    except OSError as exc:
        return exc.strerror or str(exc)
    finally:
        for made in (first, second):
            with suppress(OSError):  # a read-only file system refuses this too
                made.unlink(missing_ok=True)
