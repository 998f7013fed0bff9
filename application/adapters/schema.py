"""The write side's tables, and the one function through which everything enters the log."""

from __future__ import annotations

from typing import Any, Final, LiteralString

from psycopg import AsyncConnection, Connection

# Processes that start together must not create the same table twice at once: `IF NOT EXISTS` alone races.
_ONE_AT_A_TIME: Final[LiteralString] = "SELECT pg_advisory_xact_lock(7021170391)"

_STORED_EVENTS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS stored_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigint NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
)
"""

_STORED_EVENTS_IN_ORDER: Final[LiteralString] = """
CREATE UNIQUE INDEX IF NOT EXISTS stored_events_notification_id_idx ON stored_events (notification_id)
"""

# Almost every version of the head row is dead a millisecond later. Room on its page lets each update replace
# the last one in place, and an eager vacuum keeps the row cheap to find while a long reader holds old
# versions alive.
_LOG_HEAD: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS log_head (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    position bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0)
"""

_LOG_HEAD_ROW: Final[LiteralString] = "INSERT INTO log_head (position) VALUES (0) ON CONFLICT DO NOTHING"

_COMMAND_RESULTS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS command_results (
    scope text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    body bytea NOT NULL,
    position bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
)
"""

# For the sweeper. Rows come in the order of their time, so that a summary of each stretch of them is enough.
_COMMAND_RESULTS_BY_AGE: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS command_results_recorded_at_idx ON command_results USING brin (recorded_at)
"""

_SNAPSHOTS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS snapshots (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    PRIMARY KEY (originator_id, originator_version)
)
"""

_PERSON_KEYS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS person_keys (
    person uuid PRIMARY KEY,
    wrapped bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
)
"""

_REACTIONS: Final[LiteralString] = (
    "CREATE TABLE IF NOT EXISTS reactions (name text PRIMARY KEY, position bigint NOT NULL)"
)

_COUNTERS: Final[LiteralString] = (
    "CREATE TABLE IF NOT EXISTS counters (name text PRIMARY KEY, last bigint NOT NULL)"
)

_MAILS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS mails (
    cause bigint NOT NULL,
    template text NOT NULL,
    account_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead', 'dropped')),
    attempts integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    error text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    PRIMARY KEY (cause, template, account_id)
)
"""

# Tables that former code has made, when one cause was written of to one person only. Asked first, because ALTER TABLE
# would wait for every mail that is on its way.
_MAILS_BY_ACCOUNT: Final[LiteralString] = """
DO $$
BEGIN
    IF (
        SELECT cardinality(conkey) = 2 FROM pg_constraint
        WHERE conrelid = 'mails'::regclass AND conname = 'mails_pkey'
    ) THEN
        ALTER TABLE mails DROP CONSTRAINT mails_pkey, ADD PRIMARY KEY (cause, template, account_id);
    END IF;
END
$$
"""

# Few rows wait or are dead, however many were sent: what is looked at every second is small.
_MAILS_IN_HAND: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS mails_in_hand_idx ON mails (state, next_at) WHERE state IN ('waiting', 'dead')
"""

_MAILS_DONE: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS mails_done_idx ON mails (created_at) WHERE state IN ('sent', 'dropped')
"""

# Rows live for a window and are rewritten on every hit: room on the page, and an eager vacuum.
_RATE_LIMITS: Final[LiteralString] = """
CREATE UNLOGGED TABLE IF NOT EXISTS rate_limits (
    key uuid PRIMARY KEY,
    hits bigint NOT NULL,
    ends_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.1)
"""

# A minute's rows are rewritten in place: room on the page.
_JOBS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS jobs (
    name text PRIMARY KEY,
    description text NOT NULL,
    every interval NOT NULL,
    daily_at time,
    next_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    request bigint NOT NULL DEFAULT 0,
    last_started_at timestamptz,
    last_succeeded_at timestamptz
) WITH (fillfactor = 10)
"""

_JOB_RUNS: Final[LiteralString] = """
CREATE TABLE IF NOT EXISTS job_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job text NOT NULL,
    instance text NOT NULL,
    on_request boolean NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text NOT NULL DEFAULT 'running' CHECK (outcome IN ('running', 'succeeded', 'failed', 'broken_off')),
    done integer,
    error text NOT NULL DEFAULT ''
)
"""

_JOB_RUNS_IN_ORDER: Final[LiteralString] = """
CREATE INDEX IF NOT EXISTS job_runs_job_idx ON job_runs (job, id DESC)
"""

# What keeps two schedulers from running a job at once.
_JOB_RUNS_GOING_ON: Final[LiteralString] = """
CREATE UNIQUE INDEX IF NOT EXISTS job_runs_running_idx ON job_runs (job) WHERE outcome = 'running'
"""

# A batch of commands, numbered from 0. Four groups of arrays say what they consist of:
#   expected_…  the streams that a command adds to or has read, each with what must be its next version;
#   upon_…      earlier ones of the batch that a command was decided upon: it is refused if one of them is;
#   e_…         the events, in the order in which they get their positions;
#   o_…         for commands that are carried out once: their keys, and what they will be answered.
#
# A command is refused when one of its streams has moved on (or would get a hole), and told apart as
# `repeated` when its key is there already. `out_of_turn` are, counted from 1, the events whose streams are somebody
# else's for a moment (log_turns): their commands are refused as well. The others are written. The caller sees to it
# that no two commands of a batch bear the same key, and that two add to one stream only where the later one was decided
# upon the earlier one.
#
# The head row is locked by a statement of its own: in READ COMMITTED a statement that has waited for a lock
# still looks at the snapshot from before the wait, so only the next one sees what the previous holder has
# committed.
_LOG_APPEND: Final[LiteralString] = """
CREATE OR REPLACE FUNCTION log_append(
    expected_command integer[], expected_stream uuid[], expected_version bigint[],
    upon_command integer[], upon_other integer[], sender uuid,
    e_command integer[], e_stream uuid[], e_version bigint[], e_topic text[], e_state bytea[],
    o_command integer[], o_scope text[], o_key text[], o_hash bytea[], o_status integer[], o_body bytea[],
    OUT head bigint, OUT repeated integer[], OUT refused integer[], OUT out_of_turn integer[]
) LANGUAGE plpgsql
SET enable_seqscan = off
AS $$
DECLARE
    out_of_it integer[];
    written bigint;
BEGIN
    SELECT position INTO STRICT head FROM log_head FOR UPDATE;

    IF cardinality(o_command) > 0 THEN
        SELECT array_agg(once.command) INTO repeated
        FROM unnest(o_command, o_scope, o_key) AS once (command, scope, key)
        WHERE EXISTS (
            SELECT FROM command_results AS known WHERE known.scope = once.scope AND known.key = once.key
        );
    END IF;

    SELECT array_agg(DISTINCT expected.command) INTO refused
    FROM unnest(expected_command, expected_stream, expected_version) AS expected (command, stream, version)
    CROSS JOIN LATERAL (
        SELECT max(stored.originator_version) AS newest
        FROM stored_events AS stored
        WHERE stored.originator_id = expected.stream AND stored.originator_version >= expected.version - 1
    ) AS found
    WHERE found.newest >= expected.version OR (found.newest IS NULL AND expected.version > 1);

    IF EXISTS (SELECT FROM log_turns) THEN
        SELECT array_agg(event.number), array_agg(event.command) INTO out_of_turn, out_of_it
        FROM unnest(e_command, e_stream) WITH ORDINALITY AS event (command, stream, number)
        JOIN log_turns AS turn ON turn.stream = event.stream
        WHERE turn.owner IS DISTINCT FROM sender AND turn.until > clock_timestamp();
    END IF;

    out_of_it := coalesce(out_of_it, '{}') || coalesce(repeated, '{}') || coalesce(refused, '{}');

    IF cardinality(upon_command) > 0 AND cardinality(out_of_it) > 0 THEN
        FOR pair IN 1 .. cardinality(upon_command) LOOP
            IF upon_other[pair] = ANY (out_of_it) AND upon_command[pair] <> ALL (out_of_it) THEN
                refused := refused || upon_command[pair];
                out_of_it := out_of_it || upon_command[pair];
            END IF;
        END LOOP;
    END IF;

    INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id)
    SELECT event.stream, event.version, event.topic, event.state,
        head + row_number() OVER (ORDER BY event.number)
    FROM unnest(e_command, e_stream, e_version, e_topic, e_state)
        WITH ORDINALITY AS event (command, stream, version, topic, state, number)
    WHERE event.command <> ALL (out_of_it);
    GET DIAGNOSTICS written = ROW_COUNT;

    IF cardinality(o_command) > 0 THEN
        INSERT INTO command_results (scope, key, request_hash, status, body, position)
        SELECT once.scope, once.key, once.hash, once.status, once.body, head + coalesce(newest.number, 0)
        FROM unnest(o_command, o_scope, o_key, o_hash, o_status, o_body)
            AS once (command, scope, key, hash, status, body)
        LEFT JOIN (
            SELECT kept.command, max(kept.number) AS number
            FROM (
                SELECT event.command, row_number() OVER (ORDER BY event.number) AS number
                FROM unnest(e_command) WITH ORDINALITY AS event (command, number)
                WHERE event.command <> ALL (out_of_it)
            ) AS kept
            GROUP BY kept.command
        ) AS newest ON newest.command = once.command
        WHERE once.command <> ALL (out_of_it);
    END IF;

    IF written > 0 THEN
        UPDATE log_head SET position = head + written;
    END IF;
END
$$
"""

# Whose turn it is with a stream that several processes want (``turns.py``). Nothing of it is worth keeping through a
# crash; ``until`` is for whoever dies with it.
_LOG_TURNS: Final[LiteralString] = """
CREATE UNLOGGED TABLE IF NOT EXISTS log_turns (
    stream uuid PRIMARY KEY,
    owner uuid NOT NULL,
    until timestamptz NOT NULL
)
"""

# Who waits for a turn has it in the order of asking, and keeps it for as long as the session holds this lock. The
# rest is behind the head's lock, like every append: whoever has the turn reads what was written before it.
_LOG_BEGIN_TURN: Final[LiteralString] = """
CREATE OR REPLACE FUNCTION log_begin_turn(wanted uuid, sender uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock(hashtextextended(wanted::text, 0));
    PERFORM FROM log_head FOR UPDATE;
    DELETE FROM log_turns WHERE until < clock_timestamp();
    INSERT INTO log_turns (stream, owner, until)
    VALUES (wanted, sender, clock_timestamp() + interval '2 s')
    ON CONFLICT (stream) DO UPDATE SET owner = excluded.owner, until = excluded.until;
END
$$
"""

# What the library's recorder calls: events of one command, any of which may be the stream's first; all or an
# error, so that whatever else the caller's transaction does is undone too.
_LOG_INSERT: Final[LiteralString] = """
CREATE OR REPLACE FUNCTION log_insert(e_stream uuid[], e_version bigint[], e_topic text[], e_state bytea[])
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    outcome record;
BEGIN
    SELECT appended.head, appended.refused, appended.out_of_turn INTO STRICT outcome
    FROM (
        SELECT array_agg(0) AS commands, array_agg(first.stream) AS streams,
            array_agg(first.version) AS versions
        FROM (
            SELECT event.stream, min(event.version) AS version
            FROM unnest(e_stream, e_version) AS event (stream, version)
            GROUP BY event.stream
        ) AS first
    ) AS expected
    CROSS JOIN LATERAL log_append(
        expected.commands, expected.streams, expected.versions, '{}', '{}', NULL,
        array_fill(0, ARRAY[cardinality(e_stream)]), e_stream, e_version, e_topic, e_state,
        '{}', '{}', '{}', '{}', '{}', '{}'
    ) AS appended;
    IF coalesce(outcome.refused, outcome.out_of_turn) IS NOT NULL THEN
        RAISE unique_violation USING MESSAGE = 'a stream has moved on';
    END IF;
    RETURN outcome.head;
END
$$
"""

SCHEMA: Final[tuple[LiteralString, ...]] = (
    _ONE_AT_A_TIME,
    _STORED_EVENTS,
    _STORED_EVENTS_IN_ORDER,
    _LOG_HEAD,
    _LOG_HEAD_ROW,
    _COMMAND_RESULTS,
    _COMMAND_RESULTS_BY_AGE,
    _SNAPSHOTS,
    _PERSON_KEYS,
    _COUNTERS,
    _REACTIONS,
    _RATE_LIMITS,
    _MAILS,
    _MAILS_BY_ACCOUNT,
    _MAILS_IN_HAND,
    _MAILS_DONE,
    _LOG_TURNS,
    _LOG_BEGIN_TURN,
    _JOBS,
    _JOB_RUNS,
    _JOB_RUNS_IN_ORDER,
    _JOB_RUNS_GOING_ON,
    _LOG_APPEND,
    _LOG_INSERT,
)


def create_schema(connection: Connection[Any]) -> None:
    """Make what is not there yet; any number of processes may do so at once."""
    with connection.transaction():
        for statement in SCHEMA:
            connection.execute(statement)


async def create_schema_async(connection: AsyncConnection[Any]) -> None:
    """The same for callers that run an event loop."""
    async with connection.transaction():
        for statement in SCHEMA:
            await connection.execute(statement)
