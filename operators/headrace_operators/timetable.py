"""`DailySlices`: Airflow's daily data intervals, with run ids that name the same day as the slice.

A run of the interval that begins on 3 November writes `SOURCE/2026-11-03`. Airflow's own `CronDataIntervalTimetable` names such a run
after the *end* of its interval (`scheduled__2026-11-04T00:00:00+00:00`), and gives a run that is triggered by hand for 3 November the
interval before that day. Here all three kinds of run carry the slice's day:

- scheduled: `scheduled__2026-11-03`;
- backfilled: `backfill__2026-11-03T23:59:59+00:00`. Airflow makes this id from the moment after which the run may start, so that moment
  is the interval's last second instead of its end;
- triggered with a logical date: the interval that holds this date, `manual__2026-11-03__HHMMSSffffff` with the time of the trigger.

A run that is triggered without a logical date has no interval; it names its slice by a parameter, and keeps Airflow's id.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.utils.types import DagRunType
from pendulum import UTC, DateTime

LAST_SECOND = timedelta(seconds=1)


class DailySlices(CronDataIntervalTimetable):
    """One interval for each UTC day; registered by the plugin, so the scheduler and the API server know it too."""

    def __init__(self) -> None:
        super().__init__("0 0 * * *", UTC)
        self.description = "each day at midnight UTC, for the day that has ended"

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> DailySlices:
        """From what `serialize` gave: nothing is needed."""
        return cls()

    def serialize(self) -> dict[str, Any]:
        """There is nothing to keep."""
        return {}

    @property
    def summary(self) -> str:
        """What the list of DAGs shows."""
        return "daily"

    def next_dagrun_info(self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction) -> DagRunInfo | None:
        """The next interval, which may be taken up in its last second."""
        info = super().next_dagrun_info(last_automated_data_interval=last_automated_data_interval, restriction=restriction)
        if info is None or info.data_interval is None:
            return info
        return info._replace(run_after=info.data_interval.end - LAST_SECOND)

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """The interval that holds the logical date of a run triggered by hand."""
        start = self._align_to_prev(run_after)
        return DataInterval(start=start, end=self._get_next(start))

    def generate_run_id(self, *, run_type: DagRunType, run_after: DateTime, data_interval: DataInterval | None, **extra: Any) -> str:
        """An id with the interval's day."""
        if data_interval is None:
            return super().generate_run_id(run_type=run_type, run_after=run_after, data_interval=data_interval, **extra)
        day = data_interval.start.strftime("%Y-%m-%d")
        if run_type == DagRunType.SCHEDULED:
            return run_type.generate_run_id(suffix=day)
        return run_type.generate_run_id(suffix=f"{day}__{run_after.strftime('%H%M%S%f')}")
