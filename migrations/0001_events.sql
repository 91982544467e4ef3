-- The one truth: every fact that was ever decided, one row each, never changed.
--
-- The first seven columns are those of postgres-es, which reads them by name. The rest is ours:
-- `position` and `xid` let the sequencer find a gap-free order, `recorded_at` is evidence only (the time that
-- counts is `at` in the metadata, given by the service's clock), and the generated columns make the
-- metadata searchable without a second copy that could disagree with it.
create table events (
    aggregate_type text   not null,
    aggregate_id   text   not null,
    sequence       bigint not null check (sequence >= 1),
    event_type     text   not null,
    event_version  text   not null,
    payload        jsonb  not null,
    metadata       jsonb  not null,
    position       bigint not null generated always as identity,
    xid            xid8        not null default pg_current_xact_id(),
    recorded_at    timestamptz not null default clock_timestamp(),
    event_id       uuid        not null default gen_random_uuid(),
    command_id     uuid generated always as ((metadata ->> 'command_id')::uuid) stored,
    correlation_id uuid generated always as ((metadata ->> 'correlation_id')::uuid) stored,
    causation_id   text generated always as (metadata ->> 'causation_id') stored,
    account        uuid generated always as ((metadata ->> 'account')::uuid) stored,
    -- The concurrency control: two decisions on the same state cannot both be written.
    constraint events_pkey primary key (aggregate_type, aggregate_id, sequence),
    constraint events_position_key unique (position)
);

-- The sequencer reads windows of transaction ids.
create index events_xid_position on events (xid, position);

-- "What followed from this request?" on the admin's timeline.
create index events_correlation on events (correlation_id) where correlation_id is not null;
