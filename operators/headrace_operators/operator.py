"""`HeadraceOperator`: one `headrace` command as one remote job, deferred while it runs.

Life of a task: render the argv → ask the launcher that the settings choose (`headrace_operators.launchers`: Ray by default) for the job:
attach to it, find it done, or submit it, so that it waits → defer to `JobTrigger`, which lets the job begin, costs no worker slot and
prints the remote log → resume with the result. A worker killed at any of these points loses nothing: the retry asks for the same submission
id and adopts what it finds. A task that is marked failed or succeeded, cleared or deleted at any of them leaves no job behind
(docs/stop-jobs.md).

Only the result line's JSON goes to XCom; it is checked to be small.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from headrace_lake.foreign_text import one_line
from headrace_lake.settings import Settings
from headrace_operators.assets import event_extra
from headrace_operators.launchers import CONFIRM_WITHIN_S, HEADRACE, JobSpec, Launcher, Owner, headrace_spec, launcher_of
from headrace_operators.operator_env import JOB_XCOM, current_settings
from headrace_operators.trigger import JobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

LOST_AT_MOST = 5
"""A Ray head that is restarted (a reboot, `services down`) knows no job of before. That is not a fault of the command, so it is submitted
again without costing the task a retry; only so often, lest a command that takes the head down with it does so for ever."""
UNLIMITED = ("env", "-u", "OMP_NUM_THREADS")
"""Put before a program (coreutils): it starts without Ray's limit on threads."""
USERS_MISTAKE = 2
"""Exit code of a command that ended with a `HeadraceError`: whoever triggered the run can correct it."""
MAX_XCOM_BYTES = 16_384
"""XCom is for receipts' summaries; data lives in the lake."""


class HeadraceOperator(BaseOperator):
    """Run `headrace ARGV...` as a remote job.

    Args:
        argv: the command's words after `headrace`; each is a Jinja template and stays one word whatever it renders to.
            Words that render to nothing are dropped, so `"{{ '--force' if params.force }}"` is an optional flag.
            `{"each": "{{ a_list | tojson }}"}` becomes one word for each item.
        slice_text: the slice or slices (template), part of the job's identity and shown in its metadata.
        fingerprint: fingerprint of the work where it is known beforehand (template).
        remote_env: environment of the remote command. Never put secrets here: launchers show it.
        program: words that start the program on the cluster.
        makes: kind of the artifact that the command leaves in the lake (`evaluation`). The fingerprint that its log names is looked up
            there; one that is not there, or is of another kind or recipe, fails the task, so a log cannot stand for a result.
        recipe: the recipe that the artifact must be of (template); empty where it may be of any.
        cpus: CPUs reserved for the command itself (training takes them; commands that start Ray tasks take none), where the launcher
            reserves any.
        all_cores: the command may use every core of its machine. Ray sets OMP_NUM_THREADS to the CPUs that are reserved, and to 1 where
            none are, so a program that asks OpenMP or torch for threads gets no more; this takes the variable away. To reserve all cores
            instead is no way: the DAG does not know the machine, and a job that asks for more than there is waits for ever.
    """

    template_fields: Sequence[str] = ("argv", "slice_text", "fingerprint", "remote_env", "recipe")
    template_fields_renderers: ClassVar[dict[str, str]] = {"argv": "json", "remote_env": "json"}
    ui_color = "#d7ecf2"

    def __init__(
        self,
        *,
        argv: Sequence[str | Mapping[str, str]],
        slice_text: str = "",
        fingerprint: str = "",
        remote_env: Mapping[str, str] | None = None,
        program: Sequence[str] = HEADRACE,
        cpus: float = 0.0,
        all_cores: bool = False,
        makes: str = "",
        recipe: str = "",
        poll_s: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.argv = list(argv)
        self.slice_text = slice_text
        self.fingerprint = fingerprint
        self.remote_env = dict(remote_env or {})
        self.program = [*(UNLIMITED if all_cores else ()), *program]
        self.cpus = cpus
        self.makes = makes
        self.recipe = recipe
        self.poll_s = poll_s
        self._running: tuple[Launcher, str, Owner] | None = None

    def execute(self, context: Context) -> Any:
        """Submit or adopt the job, then defer."""
        self._ask(context, lost=0)

    def _ask(self, context: Context, *, lost: int) -> None:
        settings, file = current_settings()
        launcher = launcher_of(settings)
        spec = self._spec(settings, file, lost)
        owner = owner_of(context)
        self.log.info("command: %s", spec.entrypoint)

        def claim(sid: str) -> None:
            self._running = (launcher, sid, owner)

        ensured = launcher.ensure(spec, owner, say=self.log.info, claim=claim)
        sid = ensured.job.submission_id
        self.log.info("%s %s %s (%s)", ensured.decision, launcher.called, sid, ensured.job.status)
        told = {"launcher": launcher.name, "submission_id": sid, "decision": ensured.decision, "dashboard": launcher.address}
        context["ti"].xcom_push(key=JOB_XCOM, value=told)
        self.defer(trigger=JobTrigger.of(launcher, ensured, self.poll_s, lost), method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """The job has ended: hand its result on, or fail with its own error line."""
        status, sid, lost = event["status"], event["submission_id"], int(event.get("lost") or 0)
        if status == "LOST" and lost < LOST_AT_MOST:
            self.log.warning("%s: asked for again", event.get("error"))
            self._ask(context, lost=lost + 1)  # defers
        if status != "SUCCEEDED":
            text = one_line(f"{event.get('called', 'job')} {sid} ended {status}: {event.get('error') or event.get('message')}")
            # Exit code 2 is an error that a human must mend, and what a human stopped is not to begin again: no retry.
            self.log.error("%s", text)
            if event.get("by_hand") or event.get("exit_code") == USERS_MISTAKE:
                raise AirflowFailException(text)
            raise AirflowException(text)
        self.log.info("%s %s succeeded", event.get("called", "job"), sid)
        if self.makes:
            self._look_up(sid, dict(event.get("result") or {}))
        result = summary(dict(event.get("result") or {}))
        for asset in self.outlets:
            context["outlet_events"][asset].extra = event_extra(event.get("result") or {})
        if len(json.dumps(result)) > MAX_XCOM_BYTES:
            raise AirflowFailException(f"the result of {sid} is larger than {MAX_XCOM_BYTES} bytes: results are summaries")
        return result

    def _look_up(self, sid: str, result: dict[str, Any]) -> None:
        """Find what the job's log names as its result in the lake.

        Raises:
            AirflowFailException: the lake holds no such artifact of this kind and recipe.
        """
        from headrace_lake.lake import Lake  # Iceberg: no DAG file needs it

        named = str(result.get("fingerprint") or "")
        found = Lake.open(current_settings()[0]).find_artifact(self.makes, fingerprint=named) if named else None
        if found is None or self.recipe not in ("", found.name, found.payload.get("recipe")):
            whose = f" of recipe '{self.recipe}'" if self.recipe else ""
            raise AirflowFailException(
                f"the log of {sid} names '{one_line(named[:64])}' as its result: the lake holds no {self.makes}{whose} of that fingerprint"
            )

    def on_kill(self) -> None:
        """The worker is told to stop before it could defer: let go of the remote job, which stops it unless others follow it.

        The submission may still be on its way, from the very call that this signal has interrupted. The ledger knows the job as stopped
        from here on, so whenever it arrives it ends before its command begins.
        """
        if self._running is not None:
            launcher, sid, owner = self._running
            assert launcher.ledger is not None
            if launcher.ledger.entry(sid) is None:
                launcher.ledger.ask(sid, owner)  # so that it can be known as stopped
            if launcher.ledger.release(sid, owner, f"{owner} was ended or cleared in Airflow"):
                self.log.info("stopping %s %s", launcher.called, sid)
                launcher.cancel(sid)

    def _spec(self, settings: Settings, file: str, lost: int = 0) -> JobSpec:
        return headrace_spec(
            settings,
            file,
            words(self.argv),
            program=self.program,
            slice_text=self.slice_text,
            fingerprint=self.fingerprint,
            env=self.remote_env,
            cpus=self.cpus,
            # A job that nobody confirmed in time (the triggerer was away) waits longer when it is asked for again.
            confirm_within_s=CONFIRM_WITHIN_S * (lost + 1),
        )


def summary(result: dict[str, Any]) -> dict[str, Any]:
    """A result small enough for XCom: one that is too large keeps its plain values and says what was left out."""
    if len(json.dumps(result)) <= MAX_XCOM_BYTES:
        return result
    plain = {k: v for k, v in result.items() if v is None or isinstance(v, (bool, int, float)) or (isinstance(v, str) and len(v) < 500)}
    return {**plain, "left_out": sorted(set(result) - set(plain))}


def words(argv: Sequence[Any]) -> list[str]:
    """Rendered argv as plain words.

    Raises:
        AirflowFailException: an `each` entry rendered to something that is not a JSON list of words.
    """
    out: list[str] = []
    for word in argv:
        if isinstance(word, Mapping):
            try:
                items = json.loads(word["each"])
            except (KeyError, TypeError, json.JSONDecodeError) as exc:
                raise AirflowFailException(f"argv entry {word!r} is not a JSON list") from exc
            named = [str(item) for item in items] if isinstance(items, list) else [str(items)]
            if options := [name for name in named if name.startswith("-")]:
                raise AirflowFailException(f"argv entry {word!r}: '{options[0]}' would be an option, and a list gives only names")
            out += named
        elif word is not None and str(word).strip():
            out.append(str(word))
    return out


def owner_of(context: Context) -> Owner:
    """Who this task is, for the job's metadata."""
    ti: Any = context["ti"]
    run: Any = context.get("dag_run")
    return Owner(
        dag_id=ti.dag_id,
        run_id=ti.run_id,
        task_id=ti.task_id,
        map_index=ti.map_index if ti.map_index is not None else -1,
        generation=int(ti.max_tries or 0),
        user=str(getattr(run, "triggering_user_name", None) or ""),
        attempt=int(ti.try_number or 1),
    )
