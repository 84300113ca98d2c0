"""
Every bound of the monitor in one place, with its unit and the reason for it.

Those of a probe (bytes, pixels, redirects, requests) stand in ``probes`` beside what they bound.
"""

from __future__ import annotations

from typing import Final

# 30 days at one probe a minute; older samples of a busier target are dropped from memory (they
# stay in the store) and coverage says so.
SAMPLES_PER_TARGET_MAX: Final = 50_000
# Rows waiting for the writer: about an hour of a large fleet, 40 MB.
WRITE_QUEUE_MAX: Final = 20_000
WRITE_BATCH_MAX: Final = 500  # Rows a transaction.
WRITE_BATCH_S: Final = 0.2  # Longest wait for more rows before a commit.
# A stopping daemon waits so long for its last rows before it shows the books a last time.
LAST_FLUSH_S: Final = 2.0
BUSY_TIMEOUT_MS: Final = 5_000  # Another process (backup, shell) may hold the lock that long.
# Files up to this are read in whole before anything else; larger ones beside the running daemon.
CHECKED_AT_ONCE_BYTES: Final = 64 * 1024 * 1024

TICKS_PER_S_MAX: Final = 4.0  # Publishing costs milliseconds; clients poll every 15 s.
TICK_S_MAX: Final = 5.0  # Windows must expire even when nothing happens.
STALE_AFTER_S: Final = 30.0  # Six missed ticks: the engine is stuck, readers must know.

PROBES_AT_ONCE_MAX: Final = 64  # Sockets and decode threads.
PROBES_PER_PROVIDER_MAX: Final = 4  # Stay far under every vendor's concurrency limit.
# Free calls have slots of their own, so that a front end that hangs holds up no canary.
FREE_CALLS_AT_ONCE_MAX: Final = 32
FREE_CALLS_PER_PROVIDER_MAX: Final = 2
SHUTDOWN_WARN_DAYS: Final = 30  # A model's end within this is told in the log.
BATCH_CALLS_AT_ONCE_MAX: Final = 4  # An answer may carry a picture of 8 MB, twice.
BATCH_JOBS_PER_TARGET_MAX: Final = 8  # Vendors limit the jobs of a queue that may wait at once.
BATCH_TURN_S: Final = 2.0  # How soon a request to cancel is seen.
LOOP_LAG_VOID_S: Final = 1.0  # A stall this long makes a latency ours, not the provider's.
CLOCK_STEP_VOID_S: Final = 5.0  # Wall and monotonic time may drift by NTP slew, not by this.
DRAIN_S: Final = 10.0  # Grace for running probes at shutdown; then they are void.
# A reload waits for running probes as long as the longest deadline, and no longer than this.
RELOAD_DRAIN_S_MAX: Final = 600.0
# After a deadline: decoding, and the question whether our own network is up.
RELOAD_DRAIN_S_MORE: Final = 10.0

REFERENCE_HOSTS_MAX: Final = 10
REFERENCE_ANSWER_S_MAX: Final = 5.0  # A failed probe is held so long at most.
# In an outage of two providers each failure would ask anew.
REFERENCE_FRESH_S: Final = 15.0
REFERENCE_RECHECK_S: Final = 10.0  # Between two questions while no reference host answers.

TARGETS_MAX: Final = 2_000
POOLS_MAX: Final = 500
PROFILES_MAX: Final = 20
WINDOWS_MAX: Final = 12
MAINTENANCE_MAX: Final = 200
ROUTES_MAX: Final = 100
CONFIG_BYTES_MAX: Final = 1024 * 1024
INTERVAL_S_MIN: Final = 1.0  # The demo compresses time; real canaries cost money long before.
INTERVAL_S_MAX: Final = 7 * 86_400.0
# Between canaries an hour apart a refused key or a dead host shows within minutes, for nothing.
LIVENESS_S_DEFAULT: Final = 300.0
# After a refusal that only a person can mend (key, bill, model), ask again this often.
PERMANENT_RECHECK_S: Final = 3_600.0
# What only free calls tell (balance, shutdown day) is read this often, however many pictures come.
FREE_FACTS_S_MAX: Final = 3_600.0
# Read of each target at a restart: a day of them at five minutes. They change no figure, and a
# month of them would triple what is read.
FREE_CALLS_REPLAYED: Final = 300
# The same where free calls watch for the end of the refusal: what they cannot see (an organisation
# that was verified, a limit that was raised) must be found some day all the same.
FREE_RECHECK_S: Final = 86_400.0
# Targets that nothing recent is known of are probed at a restart, but not all at one moment.
RESTART_SPREAD_S: Final = 60.0
# Those beyond a provider's minute of requests wait so long for the next: a minute has passed for each.
RESTART_TURN_S: Final = RESTART_SPREAD_S + 61.0
# A provider may name any retry time; believe at most a day, and for per-minute limits 15 min.
RETRY_AFTER_S_MAX: Final = 86_400.0
RATE_LIMIT_WAIT_S_MAX: Final = 900.0
RATE_LIMIT_WAIT_S_DEFAULT: Final = 60.0
# Rows of clients that wait for the store: about a second of what it takes; what is above is refused.
REPORTS_WAITING_MAX: Final = 50_000
REPORTS_A_COMMIT_MAX: Final = 4_000  # Money that is asked for waits for one commit at most: 50 ms.
REPORT_SUMS_S: Final = 5.0  # How far sums of reports are behind the rows.
REPORTS_SUMMED_AT_ONCE: Final = 20_000  # In one transaction, for which money waits too: 50 ms.
# Figures of reports are read anew so often, and seldom enough that it takes a twentieth of the time at
# most: 0.1 s for 20 pairs of a target and a client, 1.4 s for ten million reports of 90.
REPORT_FIGURES_S_MIN: Final = 5.0
REPORT_FIGURES_S_MAX: Final = 30.0
REPORT_FIGURES_SHARE: Final = 0.05
# Held requests: a socket each, and a process has 1024 unless told otherwise.
LONG_POLLS_MAX: Final = 500
LONG_POLL_S_MAX: Final = 60  # Proxies cut what is silent for longer.
POLL_FULL_RETRY_S: Final = 5  # What a client that found no seat is asked to wait.
STREAMS_MAX: Final = 100
STREAM_PAGE: Final = 100  # Events read at once: all that a stream holds in memory.
STREAM_LOOK_S: Final = 0.5  # The log is asked so often for new events, once for all streams.
STREAM_ALIVE_S: Final = 15.0  # A silent stream says so, or proxies cut it.
STREAM_SEND_S_MAX: Final = 30.0  # A reader that takes nothing for so long loses its seat.
# What a caller may exclude has to fit into an address, of which a server reads 64 kB.
EXCLUDED_MAX: Final = 20
EXCLUDED_CHARS_MAX: Final = 1_000  # Of one parameter: some sixty ids between commas.

REPORT_DAYS_MAX: Final = 400  # A year and a month; memory holds every sample of the period.

NOTIFY_LOOK_S: Final = 1.0  # Between two looks at the events: what is told waits for others anyway.
NOTIFY_SEND_S: Final = 10.0  # Total time of one attempt to send a message.
NOTIFY_RETRY_S_MIN: Final = 2.0  # After a first failure; doubles with each one in a row.
NOTIFY_RETRY_S_MAX: Final = 600.0
# A message that nobody took for a day is no news; that it was given up is an event.
NOTIFY_GIVE_UP_S: Final = 86_400.0
# One that is refused for what it is will be refused again.
NOTIFY_REFUSALS_MAX: Final = 3
NOTIFY_ANSWER_BYTES: Final = 2_000  # Read of an answer, for its words.
